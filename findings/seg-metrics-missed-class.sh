#!/usr/bin/env bash
# seg-metrics' distances between masks (hd, hd95, msd, mdsd, stdsd), for a class of tissue that one of two masks does not have.
#
# Expected: a distance to a region that is not there is infinite or not a number, or at least large: whoever misses all of a tumour
# is not as good as who finds it. Volume similarity of two masks without the class is the same, whatever else is asked for.
# Seen (seg-metrics 1.2.8, SimpleITK 2.5.3, numpy 2.4.6, CPython 3.11): a tumour of 30 x 40 px that is missed altogether, and one
# that is found where there is none, have the Hausdorff distance 0, and so have all other distances: as if they were found to the
# pixel, and better than one that is found a pixel beside (0.5 um). The mean of 4 fields, in one of which the tumour is missed, is
# better than that of the other three. The map of distances to an absent region is the empty mask itself, which is 0 everywhere. If
# distances alone are asked for nothing is said; with all metrics warnings are logged, which do not name the distances.
# vs of two masks without the class is 0, and 1 where a distance is asked for too.
# What follows: leave out what has recall 0, or fields of which only one mask has the class; both masks' areas say which.
# Installed without its dependencies: without the viewer's and the statistics' packages; medutils' function comes with pingouin.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "SimpleITK==2.5.3" "pandas==2.3.3" "scipy==1.17.1" "matplotlib==3.10.8" "tqdm==4.67.3" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps "seg-metrics==1.2.8" "medutils==0.1.21"
cat > missed.py <<'PY'
import logging
import sys
import types
from importlib.metadata import version

import numpy as np

sys.modules["pingouin"] = types.ModuleType("pingouin")  # medutils imports it for its other functions
from seg_metrics.seg_metrics import write_metrics

logging.disable(logging.WARNING)
print(*(f"{name} {version(name)}" for name in ("seg-metrics", "SimpleITK", "numpy")))
DISTANCES = ["hd", "hd95", "msd", "mdsd", "stdsd"]


def tumour(shift=0):
    mask = np.zeros((100, 120), np.uint8)
    mask[20:50, 30 + shift:70 + shift] = 1
    return mask


def metrics(truth, found, names):
    (one,) = write_metrics(labels=[1], gdth_img=truth, pred_img=found, spacing=[0.5, 0.5], metrics=list(names))
    return {name: round(float(one[name][0]), 2) for name in names}


none = np.zeros_like(tumour())
cases = {"found to the pixel": (tumour(), tumour()), "found a pixel beside": (tumour(), tumour(1)),
         "missed": (tumour(), none), "found where there is none": (none, tumour())}
seen = {}
for name, (truth, found) in cases.items():
    seen[name] = metrics(truth, found, DISTANCES), metrics(truth, found, ["recall", "precision"])
    print(f"{name}: {seen[name][0]} um, {seen[name][1]}")
fields = [metrics(tumour(), tumour(shift), ["hd"])["hd"] for shift in (1, 2, 3)]
fields_too = [*fields, metrics(tumour(), none, ["hd"])["hd"]]
print(f"mean hd of three fields {np.mean(fields):.2f}, with one in which the tumour is missed {np.mean(fields_too):.2f} um")
volumes = metrics(none, none, ["vs"])["vs"], metrics(none, none, ["vs", "hd"])["vs"]
print(f"vs of two masks without the class: {volumes[0]}, where hd is asked for too {volumes[1]}")
right, beside, missed, invented = (case[0] for case in seen.values())
as_seen = not any(missed.values()) and not any(invented.values()) and missed == right and beside["hd"] == 0.5 and beside["msd"] > 0
as_seen &= seen["missed"][1]["recall"] == 0 and np.mean(fields_too) < np.mean(fields) and volumes == (0, 1)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore missed.py
