#!/usr/bin/env bash
# scimap's foldchange: which classes of cells are more frequent in which samples, with p-values.
#
# Expected: foldchange_pval has for each sample and class the p-value of Fisher's exact test of that class's cells in that sample
# against the reference. Where two samples are the same as the reference, their p-values are 1.
# Seen (scimap 2.3.6, anndata 0.12.19, scipy 1.17.1, pandas 2.3.3, numpy 2.4.6, CPython 3.11): with one sample so it is. With two or
# more p-values stand in other cells of the table. Of three samples against a reference of 1,000 cells, two are like it, and in the
# third there are 60 lymphocytes for 300: the fold changes are right, 0.20 in the third, but its p is 1. The p of 4e-47 stands at
# the stroma of the first sample, of which there is exactly as much as in the reference. Tests are done class by class, and written
# down sample by sample. The plot of fold changes marks significance by this table. Nothing is said about it.
# What follows: compare with one sample at a time, with to_group.
# Installed without its dependencies: the module needs pandas and scipy, and is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "anndata==0.12.19" "scipy==1.17.1" "pandas==2.3.3" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "scimap==2.3.6"
cat > order.py <<'PY'
import importlib.util
import sys
from importlib.metadata import distribution, version

import anndata
import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

spec = importlib.util.spec_from_file_location("foldchange", distribution("scimap").locate_file("scimap/tools/foldchange.py"))
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
classes = ["lymphocyte", "stroma", "tumour"]
numbers = {"reference": [300, 300, 400], "one": [300, 300, 400], "two": [300, 300, 400], "three": [60, 540, 400]}
rows = [(sample, one) for sample, counts in numbers.items() for one, count in zip(classes, counts) for _ in range(count)]
table = pd.DataFrame(rows, columns=["imageid", "phenotype"], dtype="category")
cells = anndata.AnnData(np.zeros((len(table), 1)), obs=table.set_index(table.index.astype(str)))


def by_hand(sample, column):
    a, b = numbers["reference"][column], numbers[sample][column]
    return fisher_exact([[a, b], [sum(numbers["reference"]) - a, sum(numbers[sample]) - b]])[1]


def seen(samples):
    found = module.foldchange(cells, "reference", to_group=samples, verbose=False)
    p, fold = (found.uns[name].loc[samples, classes] for name in ("foldchange_pval", "foldchange_fc"))
    right = np.array([[by_hand(sample, column) for column in range(3)] for sample in samples])
    print(f"samples {samples}, fold changes:\n{fold.round(2)}\np:\n{p}\nby hand:\n{right}")
    return p.values, fold.values, right


print(*(f"{name} {version(name)}" for name in ("scimap", "anndata", "scipy", "pandas", "numpy")))
p, fold, right = seen(["three"])
as_seen = np.allclose(p, right, rtol=1e-6, atol=0)
p, fold, right = seen(["one", "two", "three"])
as_seen &= np.allclose(fold[:2], 1) and np.allclose(fold[2], [0.2, 1.8, 1]) and right[2, 0] < 1e-40 and (right[:2] == 1).all()
as_seen &= np.allclose(np.sort(p.ravel()), np.sort(right.ravel()), rtol=1e-6, atol=0) and p[2, 0] == 1 and p[0, 1] < 1e-40
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore order.py
