#!/usr/bin/env bash
# cellpose's stitch3D, nuclei of a stack of sections, one of which has none.
#
# Expected: nuclei of neighbouring slices that overlap get one number (stitch_threshold, an IoU); nuclei that do not get numbers of
# their own. A slice without any ends all that were before it.
# Seen (cellpose 4.2.1.1, scipy 1.17.1, numpy 2.4.6, CPython 3.11): that holds where two slices with nuclei come before the empty one.
# Where only one does, be the slice before that empty or none, the numbers begin anew after it: of 40 nuclei in the first slice and 40
# elsewhere in the third all 40 share a number with one of the other slice, though none overlap, and 40 objects are counted for 80;
# with 50 in the first it is 50 for 90. Nothing is said about it. It is what eval(stitch_threshold=...) does with its slices.
# What follows: drop slices without nuclei at both ends and stitch what lies between two empty slices by itself, or compare the numbers
# of the slices on both sides of an empty one.
# Installed without its dependencies: the modules need no torch, and are loaded without what the package brings in.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "opencv-python-headless==5.0.0.93" "fastremap==1.21.0" "fill-voids==2.1.2" \
  "scipy==1.17.1" "numpy==2.4.6" "tqdm==4.70.1"
env/bin/pip install --quiet --no-deps "cellpose==4.2.1.1"
cat > stitch.py <<'PY'
import sys
import types
from importlib.metadata import distribution, version

import numpy as np

package = types.ModuleType("cellpose")
package.__path__ = [str(distribution("cellpose").locate_file("cellpose"))]
sys.modules["cellpose"] = package
from cellpose import utils

utils.trange = range  # no progress bar


def section(count, row):
    """Nuclei of 5 px radius in columns of 20 px; two sections of other rows have none in common."""
    mask = np.zeros((200, 200), np.uint16)
    y, x = np.mgrid[:200, :200]
    for number in range(count):
        down, across = row + 40 * (number // 10), 10 + 20 * (number % 10)
        mask[(y - down) ** 2 + (x - across) ** 2 <= 25] = number + 1
    return mask


def shared(stack):
    """How many objects are counted, and how many numbers are in slices on both sides of an empty one."""
    numbers = [set(np.unique(layer)) - {0} for layer in utils.stitch3D(np.stack(stack).copy())]
    empty = [place for place, found in enumerate(numbers) if not found][0]
    before, after = set().union(*numbers[:empty]), set().union(*numbers[empty + 1 :])
    return len(before | after), len(before & after)


print(*(f"{name} {version(name)}" for name in ("cellpose", "scipy", "numpy")))
upper, lower, more, none = section(40, 10), section(40, 30), section(50, 10), np.zeros((200, 200), np.uint16)
stacks = {"one slice, an empty one, another": ([upper, none, lower], 80), "50 nuclei in the first": ([more, none, lower], 90),
          "with an empty slice before": ([none, upper, none, lower], 80),
          "two slices, an empty one, another": ([upper, upper, none, lower], 80)}
found = {}
for name, (stack, right) in stacks.items():
    if name.startswith("with"):
        numbers = [set(np.unique(layer)) - {0} for layer in utils.stitch3D(np.stack(stack).copy())]
        found[name] = len(numbers[1] | numbers[3]), len(numbers[1] & numbers[3])
    else:
        found[name] = shared(stack)
    print(f"{name}: {found[name][0]} objects of {right}, {found[name][1]} numbers on both sides")
as_seen = list(found.values()) == [(40, 40), (50, 40), (40, 40), (80, 0)]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore stitch.py
