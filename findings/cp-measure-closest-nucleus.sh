#!/usr/bin/env bash
# cp_measure (CellProfiler's measurements) and the neighbours of a nucleus.
#
# Expected: FirstClosestObjectNumber is the nucleus whose centre is nearest, and FirstClosestDistance how far that is. By default nuclei
# are expanded until they touch; of four nuclei in an image each has a neighbour then, and NumberOfNeighbors counts these.
# Seen (cp-measure 0.3.0, centrosome 1.3.4, scipy 1.17.1, numpy 2.4.6, CPython 3.11), in all three ways that it knows: each nucleus
# is the closest one to itself, and what is given as the second is the closest. Distances are those of other nuclei: the first
# is right in two of the ways. By default NumberOfNeighbors is 0 for nuclei with some background around them, while PercentTouching
# is 42 to 72 for the same; and of two centres that are 15 px apart the distance is 36.7 for the one and 28.4 for the other, as one
# nucleus is expanded and the other is not. "Within a specified distance" counts rightly. Nothing is said about it.
# What follows: take the second as the first, and give a distance method; or ask a k-d tree of the centres.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "cp-measure==0.3.0" "centrosome==1.3.4" "scipy==1.17.1" "numpy==2.4.6"
cat > neighbours.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from cp_measure.bulk import get_multimask_measurements
from scipy import ndimage
from scipy.spatial.distance import cdist

labels = np.zeros((80, 120), dtype=np.int32)
labels[10:20, 30:50] = 1
labels[10:20, 50:60] = 2  # touches the first
labels[40:50, 60:80] = 3
labels[40:50, 84:94] = 4
centres = np.array(ndimage.center_of_mass(labels > 0, labels, [1, 2, 3, 4]))
distances = cdist(centres, centres) + np.diag([np.inf] * 4)
closest, nearest = (distances.argmin(axis=1) + 1).tolist(), distances.min(axis=1).tolist()
whole = labels[tuple(ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True))]
pairs = {tuple(pair) for a, b in ((whole[1:], whole[:-1]), (whole[:, 1:], whole[:, :-1])) for pair in np.stack([a[a != b], b[a != b]], -1)}
expanded = [len({other for pair in pairs if number in pair for other in pair} - {number}) for number in (1, 2, 3, 4)]
print("cp-measure", version("cp-measure"), "centrosome", version("centrosome"), "numpy", np.__version__)
print(f"by hand: closest {closest}, at {np.round(nearest, 1).tolist()} px; neighbours when expanded {expanded}")
found = {}
ways = (("default", {}), ("adjacent", {"distance_method": "Adjacent"}), ("within 5 px", {"distance_method": "Within a specified distance"}))
for name, options in ways:
    values = get_multimask_measurements()["neighbors"](labels, labels, **options)
    found[name] = {key.split("_")[1]: np.asarray(value).round(1).tolist() for key, value in values.items()}
    print(f"{name}:", {key: value for key, value in found[name].items() if not key.startswith(("SecondClosestD", "Angle"))})
itself = all(v["FirstClosestObjectNumber"] == [1, 2, 3, 4] and v["SecondClosestObjectNumber"] == closest for v in found.values())
right = all(found[name]["FirstClosestDistance"] == np.round(nearest, 1).tolist() for name in ("adjacent", "within 5 px"))
default = found["default"]
apart = default["FirstClosestDistance"][:2] == [36.7, 28.4] and nearest[:2] == [15, 15]
few = default["NumberOfNeighbors"] == [1, 1, 0, 0] and min(expanded) > 1 and min(default["PercentTouching"]) > 40
within = found["within 5 px"]["NumberOfNeighbors"] == [1, 1, 1, 1]
sys.exit(0 if itself and right and apart and few and within else 1)
PY
env/bin/python neighbours.py
