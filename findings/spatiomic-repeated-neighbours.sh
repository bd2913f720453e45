#!/usr/bin/env bash
# spatiomic's vicinity_composition(ignore_repeated=True): how many pixels of which class lie around those of another.
#
# Expected: "Whether to just count pixels that are in the vicinity of multiple pixels from the same cluster once": around a block of
# 2 x 2 px lie 12 pixels, each of which is counted once, where they count 20 times without the option.
# Seen (spatiomic 0.11.0, anndata 0.12.19, pandas 2.3.3, numpy 2.4.6, CPython 3.11): 3 are counted. Of every pixel's neighbours only
# the first of the list of offsets is looked at, the one up and left of it: the rest is dropped for each pixel that has more than
# one offset, which is all of them, and no pixel is compared with another.
# Of a tumour of 20 x 20 px with lymphocytes along its upper and left side and macrophages along its lower and right one, 41 px each,
# 39 lymphocytes and no macrophages are counted; of the same image turned by 180 degrees, no lymphocytes and 39 macrophages. p-values
# of permutations are of these counts. Nothing is said.
# What follows: leave the option at False, or dilate each class and count what it covers of the others.
# Installed without its dependencies, for a newer Python: the module needs anndata, pandas and joblib, and is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "anndata==0.12.19" "pandas==2.3.3" "joblib==1.5.3" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps --ignore-requires-python "spatiomic==0.11.0"
cat > vicinity.py <<'PY'
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version

import numpy as np

for name in ("spatiomic", "spatiomic.spatial", "spatiomic._internal"):  # the packages, without what their other modules need
    package = types.ModuleType(name)
    package.__path__ = [str(distribution("spatiomic").locate_file(name.replace(".", "/")))]
    sys.modules[name] = package
vicinity_composition = import_module("spatiomic.spatial._vicinity_composition").vicinity_composition

print(*(f"{name} {version(name)}" for name in ("spatiomic", "anndata", "pandas", "numpy")))
OFFSETS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]


def by_hand(image, of, around):
    """Of the pixels of one class, those that have one of the other class next to them; and how often, with repetitions."""
    padded = np.pad(image, 1, constant_values=-1)
    rows, columns = image.shape
    beside = sum((padded[1 + row:1 + row + rows, 1 + column:1 + column + columns] == around).astype(int) for row, column in OFFSETS)
    return int((beside[image == of] > 0).sum()), int(beside[image == of].sum())


def counted(image, of, around):
    """The same by the library: with and without ignore_repeated."""
    once, repeated = (vicinity_composition(image, ignore_repeated=option, n_jobs=1) for option in (True, False))
    return int(once.loc[of, around]), int(repeated.loc[of, around])


block = np.zeros((12, 12), int)
block[5:7, 5:7] = 1
of_block = counted(block, 0, 1), by_hand(block, 0, 1)
print("around a block of 2 x 2 px, each once and with repetitions:", of_block[0], "by hand:", of_block[1])
BACKGROUND, TUMOUR, LYMPHOCYTES, MACROPHAGES = range(4)
tissue = np.full((40, 40), BACKGROUND)
tissue[9:30, 9:30], tissue[10:31, 10:31] = LYMPHOCYTES, MACROPHAGES
tissue[9, 30] = tissue[30, 9] = BACKGROUND
tissue[10:30, 10:30] = TUMOUR
seen = {}
for name, image in (("tissue", tissue), ("turned by 180 degrees", tissue[::-1, ::-1].copy())):
    seen[name] = [(counted(image, kind, TUMOUR), by_hand(image, kind, TUMOUR)) for kind in (LYMPHOCYTES, MACROPHAGES)]
    for kind, (library, hand) in zip(("lymphocytes", "macrophages"), seen[name]):
        print(f"{name}: {kind} beside the tumour: {library[0]}, by hand {hand[0]}; with repetitions {library[1]}, by hand {hand[1]}")
as_seen = of_block == ((3, 20), (12, 20)) and all(library[1] == hand[1] for case in seen.values() for library, hand in case)
once = {name: [(library[0], hand[0]) for library, hand in case] for name, case in seen.items()}
as_seen &= once["tissue"] == [(39, 41), (0, 41)] and once["turned by 180 degrees"] == [(0, 41), (39, 41)]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore vicinity.py
