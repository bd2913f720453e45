#!/usr/bin/env bash
# PDNL-SANA, quantities of immunohistochemistry: stains of a picture (StainSeparator), the share of positive pixels, densities.
#
# Expected: a picture in one stain alone has that stain and nothing of the other, as by skimage's separate_stains with the same
# vectors. All columns of a frame (subsample_columns(1.0)) have the share that calculate_ao gives for the frame, negative pixels
# left out. The mean density over a frame of one value is that value, whichever array the frame was made of.
# Seen (pdnl-sana 1.0.7, scikit-image 0.26.0, numpy 2.4.6, opencv-python-headless 5.0.0.93, CPython 3.11): of pure hematoxylin with an
# optical density of 0.5, "HE" gives 0.31 hematoxylin and 0.20 eosin, and of pure eosin 0.64 eosin. StainVector divides the
# matrix of stains by norm(axis=0), the lengths of the columns (channels), not by those of the rows (stains); vectors that one gives
# oneself go the same way, and of the built-in ones H-DAB suffers least. Where a quarter of the columns is marked negative,
# subsample_columns(1.0) gives 50 % for 67 %: it takes the negative pixels for tissue, where calculate_ao and the other
# samplers do not. Of a channel of an RGB array, all 10, Frame.to_tiles and convolve give 10, 100 and 200, a mean of 103: the
# memory beside it is read, that of the other channels, for strides of a compact array are taken. Nothing is said.
# What follows: skimage.color.separate_stains; columns with negative pixels removed beforehand; Frame(channel.copy()).
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1" "scikit-image==0.26.0" "pillow==13.0.0" "shapely==2.2.0" \
    "matplotlib==3.11.2" "dill==0.4.1" "openslide-python==1.4.7" "openslide-bin==4.0.1.2" "opencv-python-headless==5.0.0.93"
env/bin/pip install --quiet --no-deps "pdnl-sana==1.0.7"
cat > stains.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from pdnl_sana.color_deconvolution import StainSeparator
from pdnl_sana.geo import Point
from pdnl_sana.image import Frame
from pdnl_sana.quantify import Sampler, calculate_ao
from skimage.color import separate_stains

VECTORS = {"HE": [[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]], "H-DAB": [[0.650, 0.706, 0.286], [0.268, 0.570, 0.776]],
           "CV-DAB": [[0.57, 0.79, 0.22], [0.48, 0.57, 0.67]]}  # those of the package


def frame(pixels):
    return Frame(pixels.astype(np.uint8), is_deformed=True)


print(*(f"{name} {version(name)}" for name in ("pdnl-sana", "scikit-image", "numpy")))
found = {}
for code, vectors in VECTORS.items():
    pair = np.array([np.array(vector) / np.linalg.norm(vector) for vector in vectors])
    residual = np.cross(*pair)
    matrix = np.vstack([pair, residual / np.linalg.norm(residual)])
    for which in (0, 1):
        picture = np.full((4, 4, 3), np.rint(255 * 10 ** (-0.5 * pair[which])), np.uint8)
        got = StainSeparator(code).separate(picture)[0, 0]
        density = -np.log10(picture[0, 0] / 255)
        right = density @ np.linalg.inv(matrix)
        skimage = separate_stains(picture, np.linalg.inv(matrix))[0, 0]  # its unit is another, the shares are not
        found[code, which] = got, right, skimage / skimage.max()
        print(f"{code}, stain {which + 1} alone: {np.round(got[:2], 2)}, by hand {np.abs(np.round(right[:2], 2))},",
              f"shares by skimage {np.round(skimage[:2] / skimage.max(), 2)}")
positive, negative = np.zeros((100, 100)), np.zeros((100, 100))
positive[:, :50], negative[:, 50:75] = 1, 1
frames = frame(positive), frame(np.ones((100, 100))), frame(negative)
shares = {"by hand": 5000 / 7500}
for name, (part, whole) in (("calculate_ao", calculate_ao(*frames)),
                            ("subsample_columns", Sampler(0, *frames).subsample_columns(1.0)[:2]),
                            ("subsample_grid", np.sum(Sampler(0, *frames).subsample_grid(10, 1.0)[:2], axis=1))):
    shares[name] = float(part / whole)
print("positive pixels:", {name: f"{share:.0%}" for name, share in shares.items()})
rgb = np.zeros((60, 90, 3), np.uint8) + np.array([10, 100, 200], np.uint8)
step = Point(5, 5, is_micron=False, level=0)
values = {name: np.unique(Frame(channel).to_tiles(step.copy(), step.copy())) for name, channel in
          (("as it is", rgb[..., 0]), ("copied", rgb[..., 0].copy()))}
means = {name: float(Frame(channel).convolve(np.ones((5, 5)), step.copy()).mean()) for name, channel in
         (("as it is", rgb[..., 0]), ("copied", rgb[..., 0].copy()))}
print(f"a channel of 10: values of its tiles {values}, mean density {means}")
as_seen = all(np.allclose(right[:2], np.eye(2)[which] * 0.5, atol=0.01) for (_, which), (_, right, _) in found.items())
as_seen &= all(np.allclose(skimage[:2], np.eye(2)[which], atol=0.02) for (_, which), (_, _, skimage) in found.items())
as_seen &= np.allclose(found["HE", 0][0][:2], [0.31, 0.20], atol=0.01) and np.isclose(found["HE", 1][0][1], 0.64, atol=0.01)
as_seen &= all(np.isclose(shares[name], 2 / 3) for name in ("calculate_ao", "subsample_grid")) and shares["subsample_columns"] == 0.5
as_seen &= list(values["as it is"]) == [10, 100, 200] and list(values["copied"]) == [10]
as_seen &= means["as it is"] > 100 and np.isclose(means["copied"], 10)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore stains.py
