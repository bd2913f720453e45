#!/usr/bin/env bash
# squidpy: where nuclei are (features_segmentation), textures of some channels (features_texture), and distances (var_by_distance).
#
# Expected: props=["centroid"] gives "centroid coordinates of segment", of a crop those in the uncropped image, as x and y. A
# texture is called by the channel it is of, in whichever order channels are asked for. With spatial_key="um" distances are in um.
# Seen (squidpy 1.8.2, scikit-image 0.26.0, numpy 2.4.6, xarray 2026.9.0, CPython 3.11): of three nuclei at (250, 100), (300, 150) and
# (420, 130), in a crop of x 200 to 500 and y 50 to 250, centroids are (200, 50), (500, 109) and (380, 250): rows are taken for x, and
# both are stretched until the outermost nuclei lie on the crop's border. Of the image that is not cropped all are (0, 0), and of
# a single nucleus they are nan. As many nuclei elsewhere, in the same order, have the same centroids.
# channels=[1, 0] gives the contrast of channel 0 as that of channel 1 and the other way round: channels are picked out by number and
# then numbered by it once more. features_summary of the same channels is right.
# var_by_distance(spatial_key="um") is said to be 100 and 300 for nuclei at 25 and 75 um: it takes the pixels in "spatial".
# Nothing is said about any.
# What follows: take centroids of skimage.measure.regionprops and add the crop's corner; all channels in their order; put the
# coordinates that are meant in "spatial".
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "squidpy==1.8.2" "scikit-image==0.26.0" "numpy==2.4.6" "anndata==0.12.19" "pandas==2.3.3" \
    "xarray==2026.9.0"
cat > centroids.py <<'PY'
import sys
from importlib.metadata import version

import anndata
import numpy as np
import pandas as pd
import squidpy


def container(nuclei):
    """An image of two channels, noise and even grey, and a mask of nuclei at (x, y)."""
    mask = np.zeros((400, 600), np.int32)
    for number, (x, y) in enumerate(nuclei, start=1):
        mask[y - 5 : y + 6, x - 5 : x + 6] = number
    image = np.full((400, 600, 2), 50, np.uint8)
    image[..., 0] = np.random.default_rng(0).integers(0, 256, (400, 600))
    both = squidpy.im.ImageContainer(image, layer="image")
    both.add_img(mask, layer="nuclei", channel_dim="number")
    return both


def centroids(image):
    return image.features_segmentation("nuclei", props=["centroid"])["segmentation_centroid"].round(1)


print(*(f"{name} {version(name)}" for name in ("squidpy", "scikit-image", "numpy", "xarray")))
three, elsewhere, one = [(250, 100), (300, 150), (420, 130)], [(210, 200), (270, 230), (414, 218)], [(250, 100)]
crop = {"y": 50, "x": 200, "size": (200, 300)}
cropped = centroids(container(three).crop_corner(**crop))
other = centroids(container(elsewhere).crop_corner(**crop))
whole, single = centroids(container(three)), centroids(container(one).crop_corner(**crop))
print("nuclei at", three, "of the crop:", cropped.tolist(), "of the whole image:", whole.tolist(), "one alone:", single.tolist())
print("nuclei at", elsewhere, "of the crop:", other.tolist())
image, contrast, mean = container(three), {}, {}
for channels in ([0, 1], [1, 0]):
    texture = image.features_texture("image", channels=channels, props=["contrast"], angles=[0])
    summary = image.features_summary("image", channels=channels)
    contrast[str(channels)] = [round(float(texture[f"texture_ch-{n}_contrast_dist-1_angle-0.00"])) for n in (0, 1)]
    mean[str(channels)] = [round(float(summary[f"summary_ch-{n}_mean"])) for n in (0, 1)]
print("contrast of channels 0 and 1:", contrast, "mean:", mean)
table = pd.DataFrame({"class": pd.Categorical(["vessel", "nucleus", "nucleus"])}, index=["a", "b", "c"])
pixels = np.array([[0, 0], [100, 0], [0, 300.0]])
cells = anndata.AnnData(np.zeros((3, 1)), obs=table, obsm={"spatial": pixels, "um": pixels / 4})
far = squidpy.tl.var_by_distance(cells, "vessel", cluster_key="class", spatial_key="um", copy=True)["vessel_raw"].tolist()
print("distance to the vessel:", far, "by hand in um:", np.linalg.norm(cells.obsm["um"], axis=1).tolist())
as_seen = cropped.tolist() == [[200, 50], [500, 108.8], [380, 250]] and (cropped == other).all() and not whole.any()
as_seen &= bool(np.isnan(single).all()) and contrast["[1, 0]"] == contrast["[0, 1]"][::-1] and contrast["[0, 1]"][1] == 0
as_seen &= mean["[1, 0]"] == mean["[0, 1]"] and far == [0, 100, 300]
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore centroids.py 2> messages.txt | grep -v "INFO\|WARNING" || { cat messages.txt >&2; exit 1; }
