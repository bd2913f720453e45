#!/usr/bin/env bash
# MONAI's compute_multi_instance_mask (LesionFROC) and a mask of 0 and 255, and what PathologyProbNMS leaves of a probability map.
#
# Expected: "the binary mask array" is the same whether tumour is 1, True or 255, as masks are in TIFF and PNG. PathologyProbNMS gives
# the peaks of a probability map; the map is as it was.
# Seen (monai 1.6.1, torch 2.13.0, scipy 1.17.1, scikit-image 0.26.0, numpy 2.4.6, CPython 3.11): three lesions in 200 x 200 px, grown
# by 3 px, are three of 1 px and True alike. Of a uint8 mask with 255 one object is left, in the corner of the image, where no lesion
# is: the mask is multiplied by 255 in uint8, so that tumour gets 254 and the rest 255, and nothing is 0. All three detections in the
# middle of the lesions are false positives then, and one lesion is counted for three, as missed. PathologyProbNMS (the default sigma
# of 0) writes zeros into the map it is given, around each peak: all of one with peaks everywhere, and the second call of the same map
# finds nothing. A heat map or an area that is taken from the map afterwards is of the rest. Nothing is said about either.
# What follows: give mask > 0, and a copy of the map.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "monai==1.6.1" "scipy==1.17.1" "scikit-image==0.26.0" "numpy==2.4.6"
cat > lesions.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from monai.apps.pathology.utils import PathologyProbNMS, compute_multi_instance_mask
from monai.metrics import compute_fp_tp_probs

print(*(f"{name} {version(name)}" for name in ("monai", "torch", "scipy", "scikit-image", "numpy")))
y, x = np.mgrid[:200, :200]
middles = np.array([(50, 50), (60, 150), (150, 90)])
tumour = np.any([(y - row) ** 2 + (x - column) ** 2 <= 144 for row, column in middles], axis=0)
found = {}
for name, mask in (("True", tumour), ("1", tumour.astype(np.uint8)), ("255", tumour.astype(np.uint8) * 255)):
    objects = compute_multi_instance_mask(mask=mask, threshold=3)
    wrong, right, count = compute_fp_tp_probs(np.array([0.9, 0.8, 0.7]), *middles.T, objects)
    found[name] = int(objects.max()), int((objects > 0).sum()), len(wrong), int((right > 0).sum()), count
    print(f"tumour is {name}: {found[name][0]} objects of {found[name][1]} px,",
          f"{(objects[tumour] > 0).mean():.0%} of the tumour in them; 3 detections: {found[name][2]} false,",
          f"{found[name][3]} of {count} lesions found")
probabilities = np.random.default_rng(0).random((64, 64))
before = probabilities.copy()
nms = PathologyProbNMS(prob_threshold=0.5, box_size=8)
first, second = len(nms(probabilities)), len(nms(probabilities))
emptied = (probabilities != before).mean()
again = [len(nms(before.copy())) for _ in range(2)]
print(f"peaks: {first}, of the same map again {second}; {emptied:.0%} of the map is 0 now; of copies {again}")
as_seen = found["True"] == found["1"] and found["1"][0] == 3 and found["1"][2:] == (0, 3, 3)
as_seen &= found["255"][0] == 1 and found["255"][1] < 100 and found["255"][2:] == (3, 0, 1)
as_seen &= bool(first > 50 and second == 0 and emptied > 0.9 and again == [first, first])
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore lesions.py
