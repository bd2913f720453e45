#!/usr/bin/env bash
# wsipipe: patches of a slide with annotations (GridPatchFinder, PatchSet.export_patches), and its tissue detectors.
#
# Expected: a patch of the folder "tumor" shows what lies under the annotation, at every patch_level (a Region's location is "top left
# of region at that level") and every stride ("the horizontal and vertical distance between each patch"). TissueDetectorOTSU
# combines "the thresholded H and S channels"; TissueDetectorGreyScale applies its pre_filter.
# Seen (wsipipe 0.1.6, openslide-python 1.4.7, opencv-python-headless 5.0.0.93, pandas 3.1.1, scikit-image 0.26.0, numpy 2.4.6,
# CPython 3.11): a square tumour on glass, annotated to the pixel. At level 0 and a stride of the patch's size all 16 patches in
# "tumor" show it. At level 1 none of 4 does: OSSlide.read_region hands the place of the level to OpenSlide, which takes level 0,
# so they come from half way. With a stride of half a patch none does at level 0 either: GridPatchFinder labels by the stride and
# places by patch_size, the 81 labelled tumour lie at one corner of the slide, and 16 patches of tumour are in "normal". The Otsu
# detector lays the threshold of H on S, so that hue plays no part: of 3,700 px above either threshold on its own channel it has
# 3,400, without those that only their hue tells. The grey detector's pre_filter changes nothing.
# What follows: patch_level=0 and stride equal to patch_size, and filters applied to the picture before the detector.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1" "pandas==3.1.1" "scikit-image==0.26.0" "pillow==13.0.0" \
    "openslide-python==1.4.7" "openslide-bin==4.0.1.2" "opencv-python-headless==5.0.0.93" "tifffile==2026.3.3"
env/bin/pip install --quiet --no-deps "wsipipe==0.1.6"
cat > patches.py <<'PY'
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from skimage.color import rgb2gray, rgb2hsv
from skimage.filters import threshold_otsu
from wsipipe.load.datasets import Camelyon16Loader
from wsipipe.preprocess.patching import GridPatchFinder
from wsipipe.preprocess.patching.patchset_utils import make_patchset_for_slide
from wsipipe.preprocess.tissue_detection import TissueDetectorAll, TissueDetectorGreyScale, TissueDetectorOTSU
from wsipipe.preprocess.tissue_detection.filters import MedianBlur

GLASS, TUMOUR = (250, 250, 250), (150, 60, 140)


def exported(level, stride):
    """Patches of 128 px: of those in "tumor" and in "normal", how many there are and how many show tumour."""
    finder = GridPatchFinder(labels_level=3, patch_level=level, patch_size=128, stride=stride)
    patches = make_patchset_for_slide(Path("slide.tif").resolve(), Path("slide.xml").resolve(), "", Camelyon16Loader(),
                                      TissueDetectorAll(), finder)
    folder = Path(f"level{level}stride{stride}")
    patches.export_patches(folder)
    shows = {kind: [np.asarray(Image.open(file).convert("RGB"))[..., 1].mean() < 155 for file in (folder / kind).glob("*.png")]
             for kind in ("tumor", "normal")}
    return {"labelled": int((patches.df.label == 2).sum()), **{kind: (len(found), sum(found)) for kind, found in shows.items()}}


print(*(f"{name} {version(name)}" for name in ("wsipipe", "openslide-python", "pandas", "scikit-image", "numpy")))
slide = np.full((2048, 2048, 3), GLASS, np.uint8)
slide[1024:1536, 1024:1536] = TUMOUR
with tifffile.TiffWriter("slide.tif") as file:
    for factor in (1, 2, 4, 8):
        file.write(np.ascontiguousarray(slide[::factor, ::factor]), tile=(256, 256), photometric="rgb", subfiletype=int(factor > 1),
                   resolution=(20000 / factor, 20000 / factor), resolutionunit="CENTIMETER")
corners = "".join(f'<Coordinate Order="{order}" X="{x}" Y="{y}"/>'
                  for order, (x, y) in enumerate([(1024, 1024), (1535, 1024), (1535, 1535), (1024, 1535)]))
Path("slide.xml").write_text('<ASAP_Annotations><Annotations><Annotation Name="1" Type="Polygon" PartOfGroup="Tumor" '
                             f'Color="#F4FA58"><Coordinates>{corners}</Coordinates></Annotation></Annotations></ASAP_Annotations>')
results = {key: exported(*key) for key in ((0, 128), (1, 128), (0, 64))}
for (level, stride), result in results.items():
    print(f"level {level}, stride {stride}: {result['labelled']} patches labelled tumour; files of tumor {result['tumor'][0]},"
          f" that show it {result['tumor'][1]}; files of normal {result['normal'][0]}, that show tumour {result['normal'][1]}")

thumb = np.full((100, 100, 3), 255, np.uint8)
thumb[:50, :50] = (230, 150, 200)  # tissue
thumb[60:90, 60:90] = (214, 205, 217)  # pale tissue
thumb[5:20, 70:90] = (235, 230, 225)  # hardly any saturation, a hue of its own
hsv = rgb2hsv(thumb)
hue, saturation = (threshold_otsu(hsv[..., channel]) for channel in (0, 1))
right = (hsv[..., 0] > hue) | (hsv[..., 1] > saturation)
otsu, on_saturation = TissueDetectorOTSU()(thumb), (hsv[..., 1] > hue) | (hsv[..., 1] > saturation)
print(f"Otsu: {otsu.sum()} px; thresholds {hue:.4f} for H and {saturation:.4f} for S; each on its own {right.sum()} px,",
      f"both on S {on_saturation.sum()}")
grey = np.full((100, 100, 3), 240, np.uint8)
grey[20:60, 20:60] = TUMOUR
grey[np.random.default_rng(0).random((100, 100)) < 0.05] = 60  # dust
filtered, plain = TissueDetectorGreyScale(pre_filter=MedianBlur(5))(grey).sum(), TissueDetectorGreyScale()(grey).sum()
by_hand = (MedianBlur(5)(rgb2gray(grey)) <= 0.8).sum()
print(f"grey: {plain} px, {filtered} with a median filter; by hand {by_hand}, and the square has 1600")
as_seen = results[0, 128]["tumor"] == (16, 16) and results[0, 128]["normal"][1] == 0
as_seen &= results[1, 128]["labelled"] == 4 and results[1, 128]["tumor"] == (4, 0)
as_seen &= results[0, 64]["labelled"] == 81 and results[0, 64]["tumor"][1] == 0 and results[0, 64]["normal"][1] == 16
as_seen &= np.array_equal(otsu, on_saturation) and not np.array_equal(otsu, right)
as_seen &= bool(filtered == plain and by_hand < 1650 < plain)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore patches.py
