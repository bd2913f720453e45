#!/usr/bin/env bash
# ark-analysis' cell tables with nuclear_counts=True: the nuclear stain of cells in which no nucleus was found.
#
# Expected: create_marker_count_matrices gives each cell the mean stain of its nucleus. A cell without one has a nucleus of 0 px, and 0
# or nothing as its stain, always the same.
# Seen (ark-analysis 0.7.2, scikit-image 0.26.0, xarray 2026.9.0, pandas 3.1.1, numpy 2.4.6, CPython 3.11, glibc): cells with a nucleus
# are right. In those without, cell_size_nuclear is 0 and the stain is whatever the memory held before: the mean is divided where the
# size is above 0, into an array that was not filled. It is 0 in some runs, and in others of the same masks 2e-312, 13.2, 465 or
# 1319184, where no pixel of the image is above 100. The arcsinh table has it too, times 100 before. With MALLOC_PERTURB_=165, by which
# glibc fills the memory that it hands out, all such cells of all fields have 1.8e127. Nothing is said about it.
# What follows: set all *_nuclear columns to NaN where cell_size_nuclear is 0.
# Installed without its dependencies (numpy below 1.24 among them): the modules are loaded without plots and checks of names.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "scikit-image==0.26.0" "xarray==2026.9.0" "pandas==3.1.1" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "ark-analysis==0.7.2"
cat > nuclei.py <<'PY'
import sys
from importlib.metadata import version
from unittest.mock import MagicMock

import numpy as np
import xarray as xr

sys.modules |= {name: MagicMock() for name in ("alpineer", "ark.utils.plot_utils")}  # checks of names and plots
from ark.segmentation.marker_quantification import create_marker_count_matrices


def field(seed, size=256):
    """Whole cells of 12 px radius, four fifths with a nucleus of 7 px; two channels of 100 in nuclei and 20 around them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    masks = np.zeros((size, size, 2), int)
    for number, place in enumerate(np.ndindex(size // 32, size // 32), start=1):
        away = (y - 32 * place[0] - 16) ** 2 + (x - 32 * place[1] - 16) ** 2
        masks[away <= 144, 0] = number
        if rng.random() > 0.2:
            masks[away <= 49, 1] = number
    image = np.repeat(np.where(masks[..., 1:] > 0, 100.0, 20.0) * (masks[..., :1] > 0), 2, axis=2)
    places = [["field"], range(size), range(size)]
    return (xr.DataArray(masks[None], coords=[*places, ["whole_cell", "nuclear"]], dims=["fovs", "rows", "cols", "compartments"]),
            xr.DataArray(image[None], coords=[*places, ["DNA", "Ki67"]], dims=["fovs", "rows", "cols", "channels"]))


print(*(f"{name} {version(name)}" for name in ("ark-analysis", "scikit-image", "xarray", "pandas", "numpy")))
columns = ["DNA_nuclear", "Ki67_nuclear"]
values, right = [], True
for seed in range(4):
    plain, arcsinh = create_marker_count_matrices(*field(seed), nuclear_counts=True)
    without = plain["cell_size_nuclear"] == 0
    right &= bool((plain.loc[~without, columns] == 100).all(axis=None) and (plain.loc[without, "DNA"] == 20).all())
    values.append(plain.loc[without, columns].to_numpy(float))
    print(f"field {seed}: {without.sum()} cells without a nucleus, DNA in it", *(f"{value:.3g}" for value in values[-1][:6, 0]),
          f"largest as arcsinh {arcsinh.loc[without, columns].to_numpy(float).max():.3g}; cells with a nucleus right: {right}")
held = np.frombuffer(b"\x5a" * 8)[0]  # what MALLOC_PERTURB_=165 leaves in memory that was not filled
share = float((np.concatenate(values) == held).mean())
if sys.argv[1:]:
    print(f"{share:.0%} of these are {held:.3g}")
    sys.exit(0 if right and share > 0.9 else 1)
PY
env/bin/python -W ignore nuclei.py
MALLOC_PERTURB_=165 env/bin/python -W ignore nuclei.py filled
