#!/usr/bin/env bash
# HistomicsTK's features of nuclei: whose cytoplasm is it, and how rough is a nucleus of one grey value?
#
# Expected: each row of compute_nuclei_features has the features of the nucleus in its column Label. A nucleus that others enclose has
# no cytoplasm: its features are empty or 0, and the other rows are as ever. The texture of a nucleus of one single grey value has no
# contrast, whatever is around it: the features are those of each object of the label image.
# Seen (histomicstk 1.4.0, scikit-image 0.26.0, scipy 1.17.1, numpy 2.4.6, pandas 2.3.3, CPython 3.11): nucleus 5 of 9 that are packed
# 3 x 3 has no cytoplasm. From there on Cytoplasm.Gradient.* are those of the next nucleus: the rough cytoplasm of nucleus 10 (27.3, where
# the others have 0.9) stands in the row of nucleus 9, and the last row is empty. Cytoplasm.Intensity.* and .Haralick.* of the
# same table are in their rows, with 0 for nucleus 5. Round nuclei of grey value 90 have a Haralick contrast of 20.2 on glass (220) and
# 0.08 on tissue of 100. The texture is that of the box around a nucleus and a row and a column more, so even a nucleus that
# fills its box has 15.5. Nothing is said about either.
# What follows: leave out nuclei without cytoplasm before (dilate_xor shows them); texture of nuclei comes from elsewhere, or the
# image is filled with the nucleus' mean around it first.
# Installed without what it needs for slides and servers: the features need scikit-image and pandas.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1" "scikit-image==0.26.0" "pandas==2.3.3" "shapely==2.2.0" "cachetools==8.0.2"
env/bin/pip install --quiet "typing-extensions==4.16.0"
env/bin/pip install --quiet --no-deps "histomicstk==1.4.0" "large-image==1.35.6" "girder-slicer-cli-web==5.0.21" "ctk-cli==1.5"
cat > rows.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from histomicstk.features import compute_haralick_features, compute_nuclei_features
from skimage.draw import disk

print(*(f"{name} {version(name)}" for name in ("histomicstk", "scikit-image", "scipy", "numpy", "pandas")))
random = np.random.default_rng(0)
labels = np.zeros((160, 200), dtype=np.int32)
for number in range(9):  # 3 x 3 squares that touch: the fifth has no background within reach
    y, x = 20 + 24 * (number // 3), 20 + 24 * (number % 3)
    labels[y : y + 24, x : x + 24] = number + 1
labels[100:124, 130:154] = 10
labels[20:44, 130:154] = 11
cytoplasm = random.normal(150, 1, labels.shape)
cytoplasm[90:134, 120:164] = random.normal(150, 30, (44, 44))  # rough around the tenth
cytoplasm = cytoplasm.clip(0, 255).astype(np.uint8)
table = compute_nuclei_features(labels, np.full_like(cytoplasm, 100), cytoplasm, fsd_features_flag=False).set_index("Label")
print(table[["Cytoplasm.Intensity.Std", "Cytoplasm.Gradient.Mag.Mean", "Cytoplasm.Haralick.Contrast.Mean"]].round(2).to_string())
gradient, spread = table["Cytoplasm.Gradient.Mag.Mean"], table["Cytoplasm.Intensity.Std"]
shifted = gradient[9] > 20 and gradient.drop([9, 11]).between(0.5, 1.5).all() and np.isnan(gradient[11])
in_place = spread[10] > 20 and spread[5] == 0 and spread[9] < 2 and table["Cytoplasm.Haralick.Contrast.Mean"].idxmax() == 10

flat = np.zeros((80, 240), dtype=np.int32)
grey = np.full(flat.shape, 220, dtype=np.uint8)
grey[:, 80:160] = 100
for number, middle in ((1, 40), (2, 120)):
    flat[disk((40, middle), 12)] = number
flat[28:52, 188:212] = 3
grey[flat > 0] = 90
contrast = compute_haralick_features(flat, grey)["Haralick.Contrast.Mean"].round(2).tolist()
print("contrast of flat nuclei on glass, on tissue, and of a square on glass:", contrast)
sys.exit(0 if shifted and in_place and contrast == [20.19, 0.08, 15.45] else 1)
PY
env/bin/python -W ignore rows.py
