#!/usr/bin/env bash
# wsi-patching: MacenkoNormalizer and ReinhardNormalizer(apply_modified_reinhard=True), two stages that make slides' colours alike.
#
# Expected: two slides of the same tissue with different dyes have about the same colours after the Macenko normaliser. The
# modified Reinhard does "scale L and shift a/b only when the source patch is less saturated than the reference".
# Seen (wsi-patching 0.5.5, numpy 2.4.6, scikit-image 0.26.0, CPython 3.11): the Macenko stage has no reference. It finds the
# slide's own stain vectors, and paints with the same: of two slides whose hematoxylin lies 9.9 degrees apart it lies 9.9 degrees
# apart afterwards, and eosin 14.6 as before. Only the amounts change, so that the 99th percentile has an optical density of 1. The
# modified Reinhard decides the other way round: of two patches that are both less saturated than the reference (a 12.0 for 29.8), the
# one whose L varies less than the reference's keeps its a and b, and the one whose L varies more is shifted to it. torchstain's
# modified method shifts both. Nothing is said about it.
# What follows: ReinhardNormalizer() without the option gives the reference's means, or take torchstain with a slide to fit.
# Only the modules of the two stages are loaded (the package imports PyTorch, which it does not require).
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scikit-image==0.26.0" "opencv-python-headless==5.0.0.93" "fastslide==0.8.1"
env/bin/pip install --quiet "orjson==3.13.0" "rtree==1.4.1" "webdataset==1.0.2" "pillow==13.0.0"
env/bin/pip install --quiet --no-deps "wsi-patching==0.5.5"
cat > normal.py <<'PY'
import sys
import types
from importlib.metadata import distribution, version

import numpy as np
from skimage.color import lab2rgb, rgb2lab

package = types.ModuleType("wsi_patching")  # without what its __init__ imports besides (readers, writers)
package.__path__ = [str(distribution("wsi-patching").locate_file("wsi_patching"))]
sys.modules["wsi_patching"] = package

from wsi_patching.core.pipeline import PipelineContext
from wsi_patching.core.types.types import CollatedPatchBatch
from wsi_patching.transforms.macenko_normalizer import MacenkoNormalizer
from wsi_patching.transforms.reinhard_normalizer import ReinhardNormalizer


def through(stage, patches):
    """Patches after a stage, which is new for each slide."""
    context = PipelineContext()
    context["use_gpu"] = False
    stage.attach_context(context)
    places = np.zeros((len(patches), 2), dtype=int)
    return next(iter(stage([CollatedPatchBatch("slide", places, patches.copy(), False, (1000, 1000))]))).patches


def unit(vector):
    return np.asarray(vector) / np.linalg.norm(vector)


def density(patches):
    return -np.log(np.clip(patches.astype(float), 1, 255) / 255)


def apart(one, other):
    return np.degrees(np.arccos(np.clip(unit(one) @ unit(other), -1, 1)))


print(*(f"{name} {version(name)}" for name in ("wsi-patching", "numpy", "scikit-image")))
rng = np.random.default_rng(0)
dyes = {"one": ([0.65, 0.70, 0.29], [0.07, 0.99, 0.11]), "other": ([0.60, 0.66, 0.45], [0.30, 0.93, 0.20])}
kind = rng.integers(0, 3, (2, 96, 96))  # pixels of hematoxylin, of eosin, of both
amounts = rng.uniform(0.3, 0.8, (2, 96, 96, 2)) * np.stack([kind != 1, kind != 0], axis=-1)
vectors = {}
for name, stains in dyes.items():
    slide = (255 * np.exp(-(amounts @ np.array([unit(stain) for stain in stains])))).round().astype(np.uint8)
    for when, patches in (("before", slide), ("after", through(MacenkoNormalizer(), slide))):
        vectors[name, when] = [density(patches)[kind == which].mean(axis=0) for which in (0, 1)]
angles = {when: [apart(*pair) for pair in zip(vectors["one", when], vectors["other", when])] for when in ("before", "after")}
for when, (first, second) in angles.items():
    print(f"Macenko, {when}: hematoxylin of the two slides {first:.1f} degrees apart, eosin {second:.1f}")

reference = ReinhardNormalizer().lab_reference_mean
print(f"Reinhard, reference: a {reference[1]:.1f}, b {reference[2]:.1f}, L varies by {ReinhardNormalizer().lab_reference_std[0]:.1f}")
means = {}
for name, varies in (("pale", 6.0), ("strong", 18.0)):
    lab = np.stack([rng.normal(70, varies, (64, 64)).clip(35, 95), rng.normal(12, 3, (64, 64)), rng.normal(-8, 3, (64, 64))], axis=-1)
    patch = (lab2rgb(lab) * 255).round().astype(np.uint8)[None]
    modified = ReinhardNormalizer(apply_modified_reinhard=True)
    for how, stage in (("as it came", None), ("modified", modified), ("plain", ReinhardNormalizer())):
        result = rgb2lab(patch if stage is None else through(stage, patch))[0]
        means[name, how] = result[..., 1:].mean(axis=(0, 1))
        print(f"{name} patch, {how}: a {means[name, how][0]:.1f}, b {means[name, how][1]:.1f}, L varies by {result[..., 0].std():.1f}")
as_seen = bool(np.allclose(angles["before"], angles["after"], atol=1) and min(angles["before"]) > 8)
as_seen &= bool(np.allclose(means["pale", "modified"], means["pale", "as it came"], atol=1))
shifted = ("strong", "modified"), ("strong", "plain"), ("pale", "plain")
as_seen &= all(np.allclose(means[which], reference[1:], atol=3) for which in shifted)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore normal.py
