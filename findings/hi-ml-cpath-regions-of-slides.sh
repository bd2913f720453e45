#!/usr/bin/env bash
# hi-ml-cpath's transforms LoadROId and LoadMaskSubROId: slides that are cut to their tissue, or to one section of it.
#
# Expected: with foreground_threshold=None LoadROId takes "an optimal threshold", Otsu's, of the slide. LoadMaskSubROId without a
# roi_label takes "a random label" that "is sampled from the foreground tissue uniformly": of a mask with sections 128 and 255 the one
# or the other, cut to its bounding box.
# Seen (hi-ml-cpath 0.5.2, hi-ml 0.5.4, monai 1.6.1, scikit-image 0.24.0, numpy 1.26.4, CPython 3.11): the threshold of the first slide
# stays for all that come later. Three slides are each cut to their tissue, 320 x 320 px, when they are the first. One with a grey
# glass (tissue 80, glass 180) is whole, 1024 x 1024 px, after a pale one (200 and 240), whose threshold is 205: all of it is tissue.
# The pale one is whole after a darker one (120 and 220), with a line that its box failed, as if it were empty. Of 300 random sections
# 1 in 3 is the glass around both, cut to the whole slide: numpy.unique has label 0 too.
# What follows: a transform of its own for each slide, or a threshold that is given; a roi_label.
# Installed without its dependencies (Azure's, cuCIM); what these transforms do not use is stood in for.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "monai==1.6.1" "tifffile==2024.9.20" "numpy==1.26.4" "openslide-bin==4.0.1.2" \
    "openslide-python==1.4.6" "scikit-image==0.24.0" "scipy==1.13.1" "pillow==12.3.0" "param==2.4.1"
env/bin/pip install --quiet --no-deps "hi-ml-cpath==0.5.2" "hi-ml==0.5.4"
cat > regions.py <<'PY'
import importlib.metadata
import sys
import types
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import tifffile
from PIL import Image

for name in ("health_azure", "health_azure.logging", "cucim"):
    sys.modules[name] = MagicMock()
for name in ("health_ml", "health_ml.utils", "health_cpath", "health_cpath.utils"):  # without what asks for Azure
    folder = Path(importlib.metadata.distribution("hi-ml").locate_file(name.replace(".", "/")))
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(folder)]
from health_cpath.preprocessing.loading import LoadMaskSubROId, LoadROId  # noqa: E402

print(*(f"{name} {version(name)}" for name in ("hi-ml-cpath", "hi-ml", "monai", "scikit-image", "numpy")))
random = np.random.default_rng(0)


def slide(name, tissue, glass):
    """A slide with three levels; its tissue lies at 352 to 672 px."""
    image = np.full((1024, 1024, 3), glass, dtype=np.uint8)
    image[352:672, 352:672] = tissue
    image += random.integers(0, 6, image.shape, dtype=np.uint8)
    with tifffile.TiffWriter(name) as file:
        for level in range(3):
            file.write(image[:: 2**level, :: 2**level], tile=(256, 256), photometric="rgb", subfiletype=int(level > 0))
    return name


def cut(transform, name, **more):
    data = transform({"image": name, "slide_id": name, **more})
    return data["image"].shape[1:], tuple(data["origin"]), data.get("foreground_threshold")


slides = {"dark": slide("dark.tiff", 120, 220), "pale": slide("pale.tiff", 200, 240), "grey glass": slide("grey.tiff", 80, 180)}
found = {}
for order in (["dark"], ["pale"], ["grey glass"], ["dark", "pale"], ["pale", "grey glass"]):
    transform = LoadROId(image_key="image", backend="openslide", level=0)
    for name in order:
        size, origin, threshold = cut(transform, slides[name])
    found[" then ".join(order)] = size[0], size[1], threshold
    print(f"{' then '.join(order)}: {size[0]} x {size[1]} px at {origin}, threshold {threshold}")
mask = np.zeros((256, 256, 3), dtype=np.uint8)
mask[88:120, 88:168], mask[130:168, 88:168] = 128, 255
Image.fromarray(mask).save("mask.png")
transform = LoadMaskSubROId(image_key="image", mask_key="mask", backend="openslide", level=2, wsi_mag_at_level0=10, mask_mag=2.5)
transform.set_random_state(0)
sections = Counter(cut(transform, slides["dark"], mask="mask.png")[0] for _ in range(300))
print("random sections at level 2, height and width:", dict(sections))
alone = all(found[name][:2] == (320, 320) for name in slides)
later = found["dark then pale"], found["pale then grey glass"]
as_seen = alone and all(size[:2] == (1024, 1024) for size in later)
as_seen &= later[0][2] == found["dark"][2] and later[1][2] == found["pale"][2]
as_seen &= set(sections) == {(32, 80), (38, 80), (256, 256)} and min(sections.values()) > 70
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore regions.py
