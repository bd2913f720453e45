#!/usr/bin/env bash
# histolab's filters LocalOtsuThreshold, StretchContrast and AdaptiveEqualization, alone or as steps of a tissue mask.
#
# Expected: what the documentation says. LocalOtsuThreshold gives "the image thresholded locally": what is darker than the local
# threshold is apart from what is lighter. StretchContrast(40, 60) brings the lowest value of an image to 40 and the highest to 60.
# AdaptiveEqualization(n_bins) equalizes regions of the image, an eighth of its size, with histograms of so many bins.
# Seen (histolab 0.7.0, numpy 1.24.4, pillow 10.4.0, CPython 3.11; with scikit-image 0.19.3, the newest that histolab asks for, and, so
# that it need not be built from source, 0.20.0 here): LocalOtsuThreshold gives the thresholds themselves, 24 grey values from 69 to
# 200 for a nucleus of 80 on 200; taken as a mask (nonzero) all of the image is foreground. StretchContrast(40, 60) of an image of 100
# to 230 gives 0 to 255: 40 and 60 are taken for percentiles (16 and 24 %), between which the values are spread, so that 93 % of the
# pixels become 0 or 255. The n_bins of AdaptiveEqualization are the size of its regions: with the default 256 a tile of 256 px is one
# region (10.6 grey values away from what is documented, on average), with 8 bins it is regions of 8 px (27.2), with 256 bins each.
# What follows: rank.otsu, rescale_intensity and equalize_adapthist of scikit-image themselves.
# Installed without its dependencies for the reason above.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==1.24.4" "scikit-image==0.20.0" "scipy==1.10.0" "pillow==10.4.0"
env/bin/pip install --quiet --no-deps "histolab==0.7.0"
cat > filters.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from histolab.filters.image_filters import AdaptiveEqualization, LocalOtsuThreshold, StretchContrast
from PIL import Image
from skimage.exposure import equalize_adapthist

random = np.random.default_rng(0)
far = np.hypot(*(np.mgrid[:64, :64] - 32))
nucleus = np.clip(np.where(far < 10, 80, 200) + random.normal(0, 5, far.shape), 0, 255).astype(np.uint8)
ramp = np.tile(np.linspace(100, 230, 256).astype(np.uint8), (64, 1))
tile = np.clip(np.where(np.arange(256) < 128, 150, 220) + random.normal(0, 6, (256, 256)), 0, 255).astype(np.uint8)


def applied(one, pixels):
    """What a filter makes of an image."""
    return np.asarray(one(Image.fromarray(pixels)))


def apart(n_bins, **options):
    """How far AdaptiveEqualization(n_bins) is from scikit-image's function with other options, in grey values, on average."""
    return float(np.abs(applied(AdaptiveEqualization(n_bins), tile) - equalize_adapthist(tile, **options) * 255).mean())


print(*(f"{name} {version(name)}" for name in ("histolab", "scikit-image", "numpy", "pillow")))
otsu = applied(LocalOtsuThreshold(15), nucleus)
foreground = np.count_nonzero(otsu) / otsu.size
print(f"LocalOtsuThreshold: {len(np.unique(otsu))} values from {otsu.min()} to {otsu.max()}, {foreground:.0%} foreground as a mask")
stretched = applied(StretchContrast(40, 60), ramp)
ends = float(np.isin(stretched, (0, 255)).mean())
print(f"StretchContrast(40, 60) of {ramp.min()} to {ramp.max()}: {stretched.min()} to {stretched.max()},",
      f"{ends:.0%} of the pixels 0 or 255")
gaps = {}
for bins in (256, 8):
    gaps[bins] = apart(bins, nbins=bins), apart(bins, kernel_size=bins)
    print(f"AdaptiveEqualization({bins}): from equalize_adapthist with so many bins {gaps[bins][0]:.1f} grey values away,",
          f"from that with regions of {bins} px {gaps[bins][1]:.1f}")
as_seen = len(np.unique(otsu)) > 10 and foreground == 1
as_seen &= stretched.min() == 0 and stretched.max() == 255 and ends > 0.8
as_seen &= all(own > 5 and other < 1 for own, other in gaps.values())
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore filters.py
