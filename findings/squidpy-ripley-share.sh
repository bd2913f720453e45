#!/usr/bin/env bash
# squidpy.gr.ripley(mode="L"): are the lymphocytes among a region's nuclei clustered?
#
# Expected: of nuclei that lie anywhere in 1000 x 1000 um, a random 30 % are lymphocytes. They are neither clustered nor
# dispersed: at 50 um L is about 50 (a little less, for want of a correction at the borders), between the lowest and the highest
# of the simulations, whether the region has 500 nuclei or 5,000. `seed` only makes the simulations repeatable.
# Seen (squidpy 1.8.2, anndata 0.12.19, numpy 2.4.6, pandas 2.3.3, CPython 3.11): L of the lymphocytes is about 14 in both regions,
# 30 % of what it should be. The simulations give about 98 in the region with 500 nuclei and 10 in that with 5,000. So lymphocytes
# at random are dispersed in one and clustered in the other, with p-values of 0.00 and 0.01 and no warning. A class's pairs are
# divided by the number of all nuclei, and so are those of the simulations, which have n_observations points, 1,000 by default.
# With a seed all simulations are one and the same: each of them starts the generator anew from it.
# What follows: call it with the nuclei of one class alone (as one category), with n_observations their number, without a seed.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "squidpy==1.8.2" "anndata==0.12.19" "numpy==2.4.6" "pandas==2.3.3"
cat > ripley.py <<'PY'
import sys

import anndata
import numpy as np
import pandas as pd
import squidpy

random = np.random.default_rng(0)


def at_50_um(points, names, **options):
    """L of the lymphocytes at 50 um, L of the lowest and of the highest simulation, and the p-value."""
    table = pd.DataFrame({"class": pd.Categorical(names)}, index=[str(i) for i in range(len(points))])
    nuclei = anndata.AnnData(np.zeros((len(points), 1)), obs=table, obsm={"spatial": points})
    found = squidpy.gr.ripley(nuclei, "class", mode="L", max_dist=50, n_steps=3, copy=True, **options)
    seen, simulated = (found[name].query("bins == 50") for name in ("L_stat", "sims_stat"))
    own = float(seen.loc[seen["class"] == "lymphocyte", "stats"].iloc[0])
    row = list(found["L_stat"]["class"].cat.categories).index("lymphocyte")
    return own, float(simulated["stats"].min()), float(simulated["stats"].max()), float(found["pvalues"][row, -1])


print("squidpy", squidpy.__version__, "anndata", anndata.__version__, "numpy", np.__version__, "pandas", pd.__version__)
found = {}
for number in (500, 5000):
    points = random.uniform(0, 1000, (number, 2))
    names = np.where(random.random(number) < 0.3, "lymphocyte", "tumour")
    found[number] = at_50_um(points, names)
    found[number, "seed"] = at_50_um(points, names, seed=1)
    own = points[names == "lymphocyte"]
    found[number, "alone"] = at_50_um(own, ["lymphocyte"] * len(own), n_observations=len(own))
for name, (own, low, high, p) in found.items():
    print(f"{name}: L of lymphocytes {own:.1f}, of simulations {low:.1f} to {high:.1f}, p {p:.3f}")
few, many = found[500], found[5000]
turned = few[0] < 20 < 90 < few[1] and many[2] < 11 < 13 < many[0] < 20 and few[3] < 0.02 > many[3]
same = all(found[number, "seed"][1] == found[number, "seed"][2] and found[number][1] < found[number][2] for number in (500, 5000))
alone = all(35 < low < own < high < 65 for own, low, high, p in (found[number, "alone"] for number in (500, 5000)))
sys.exit(0 if turned and same and alone else 1)
PY
env/bin/python -W ignore ripley.py 2> messages.txt | grep -v INFO || { cat messages.txt >&2; exit 1; }
