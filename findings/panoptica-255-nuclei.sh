#!/usr/bin/env bash
# panoptica's PQ of nuclei: a field in which there are 255 of them, and a nucleus at the edge that is number 128.
#
# Expected: nuclei that were all found, pixel for pixel, have a panoptic quality (PQ) of 1, with 255 nuclei as with 254 or 256, and
# whichever numbers they have; nuclei that are somewhere else have a recognition quality (RQ) of 0.
# Seen (panoptica 2.1.7, numpy 2.2.6, scipy 1.17.1, connected-components-3d 3.29.0, CPython 3.11): with 255 nuclei, numbered from 1
# on, PQ is 0, and RQ is 0.998, whether all were found or as many that touch none of them. Masks are made uint8 as long as the
# largest number fits, int64 ones too, and the largest number of the reference plus one, by which pairs are told apart, is then 0.
# Nothing is paired, and what was found gets numbers from 0 on, which are taken for those of the reference. numpy warns of an
# overflow; nothing is raised. Where the masks are of 0 and 1 and panoptica numbers the nuclei, all is right.
# Three nuclei with the numbers 1, 2 and 128 of which 128 lies at the edge, all found: 2 hits and 0 missed, the third is not counted.
# The image is cropped to where the sum of both masks is not 0, and 128 + 128 is 0 in uint8. With 127 for 128 there are 3 hits.
# What follows: number nuclei from 256 on.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "panoptica==2.1.7" "numpy==2.2.6" "scipy==1.17.1" "connected-components-3d==3.29.0"
cat > quality.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from panoptica import ConnectedComponentsInstanceApproximator, InputType, NaiveThresholdMatching, Panoptica_Evaluator

nuclei = Panoptica_Evaluator(expected_input=InputType.UNMATCHED_INSTANCE, instance_matcher=NaiveThresholdMatching())
pixels = Panoptica_Evaluator(expected_input=InputType.SEMANTIC, instance_matcher=NaiveThresholdMatching(),
                             instance_approximator=ConnectedComponentsInstanceApproximator())


def field(number, first=1, side=3):
    """Nuclei of 6 x 6 px in rows of 20, which start `side` px from the left."""
    mask = np.zeros((14 * 20, 14 * 20), np.int32)
    for k in range(number):
        y, x = 14 * (k // 20) + 3, 14 * (k % 20) + side
        mask[y : y + 6, x : x + 6] = first + k
    return mask


def score(evaluator, found, true):
    """Hits, false ones, missed ones, RQ and PQ."""
    result = evaluator.evaluate(found, true, verbose=False)["ungrouped"]
    return int(result.tp), int(result.fp), int(result.fn), round(float(result.rq), 3), round(float(result.pq), 3)


print(*(f"{name} {version(name)}" for name in ("panoptica", "numpy", "scipy", "connected-components-3d")))
as_seen = True
for number in (254, 255, 256):
    true, wide, mask = field(number), field(number).astype(np.int64), (field(number) > 0).astype(np.uint8)
    seen = {"all found": score(nuclei, true.copy(), true), "int64": score(nuclei, wide.copy(), wide),
            "found elsewhere": score(nuclei, field(number, side=10)[:, : true.shape[1]], true),
            "numbered by panoptica": score(pixels, mask.copy(), mask)}
    print(f"{number} nuclei; hits, false, missed, RQ, PQ:", seen)
    right = {name: (0, number, number, 0, 0) if name == "found elsewhere" else (number, 0, 0, 1, 1) for name in seen}
    if number == 255:
        right |= dict.fromkeys(["all found", "int64", "found elsewhere"], (254, 0, 1, 0.998, 0))
    as_seen &= seen == right
seen = score(nuclei, field(255, first=256), field(255, first=256))
print("255 nuclei numbered from 256 on:", seen)
as_seen &= seen == (255, 0, 0, 1, 1)
for last, hits in ((127, 3), (128, 2)):
    few = np.zeros((100, 100), np.int32)
    few[5:15, 5:15], few[40:50, 40:50], few[88:98, 88:98] = 1, 2, last
    seen = score(nuclei, few.copy(), few)
    print(f"three nuclei, numbers 1, 2 and {last}:", seen)
    as_seen &= seen == (hits, 0, 0, 1, 1)
sys.exit(0 if as_seen else 1)
PY
PANOPTICA_CITATION_REMINDER=false env/bin/python -W ignore quality.py
