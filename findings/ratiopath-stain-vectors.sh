#!/usr/bin/env bash
# ratiopath's estimate_stain_vectors: the colours of haematoxylin and eosin in an image that has some pixels of another colour.
#
# Expected: alpha, "the percentage of pixels to use for estimating the stain vectors (default is 0.01, which corresponds to 1%)":
# the outermost 1 % of the pixels on either side is left out, as in Macenko's method, and 1 or 2 of 10,000 do not matter.
# Seen (ratiopath 1.5.0, numpy 2.4.6, CPython 3.11): 0.01 % is left out, as alpha is handed over to np.percentile, which takes
# percents. In an image of 256 x 256 px of haematoxylin and eosin the estimates are 0.2 and 0.1 degrees off the true ones. With 13 px
# (0.02 %) of blue ink the haematoxylin is 9.5 degrees off, where 30.2 lie between the two stains: it is the ink's colour. With 13 px
# of a brown pigment the eosin is 3.7 degrees off. With alpha=1, which is 1 %, both stay where they are without ink or pigment, 0.7
# and 0.5 degrees off. Nothing is said.
# What follows: give alpha=1.
# Installed without its dependencies, for a newer Python: the module needs numpy alone, and is loaded alone.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6"
env/bin/pip install --quiet --no-deps --ignore-requires-python "ratiopath==1.5.0"
cat > stains.py <<'PY'
import sys
import types
from importlib import import_module
from importlib.metadata import distribution, version

import numpy as np

package = types.ModuleType("augmentations")  # the package, without what its other modules need
package.__path__ = [str(distribution("ratiopath").locate_file("ratiopath/augmentations"))]
sys.modules["augmentations"] = package
module = import_module("augmentations.estimate_stain_vectors")

print(*(f"{name} {version(name)}" for name in ("ratiopath", "numpy")))
true = module.HE[:2] / np.linalg.norm(module.HE[:2], axis=1, keepdims=True)
between = round(float(np.degrees(np.arccos(true[0] @ true[1]))), 1)
rng = np.random.default_rng(0)
number = 256 * 256
nuclei = rng.random((number, 1)) < 0.5
amounts = rng.uniform(0.05, 0.7, (number, 2)) * np.where(nuclei, [1, 0.2], [0.15, 1])
tissue = np.clip(np.round(256 * 10 ** -(amounts @ true) + rng.normal(0, 1, (number, 3))), 0, 255).astype(np.uint8)


def degrees_off(other, pixels, **options):
    """How far the estimates of both stains are from those of the image, where some pixels have another colour."""
    image = tissue.copy()
    image[:pixels] = other
    found = module.estimate_stain_vectors(image.reshape(256, 256, 3), module.HE, **options)[:2]
    return [round(float(np.degrees(np.arccos(np.clip(one @ stain, -1, 1)))), 1) for one, stain in zip(found, true)]


blue, brown = (100, 120, 200), (150, 100, 50)
seen = {}
for name, colour, pixels in (("no ink", blue, 0), ("13 px of blue ink", blue, 13), ("13 px of brown pigment", brown, 13)):
    seen[name] = degrees_off(colour, pixels), degrees_off(colour, pixels, alpha=1)
    print(f"{name}: H and E are off by {seen[name][0]} degrees, with alpha=1 by {seen[name][1]}")
print(f"between H and E: {between} degrees")
none, with_blue, with_brown = seen.values()
as_seen = max(none[0]) < 0.5 and with_blue[0][0] > 8 and with_blue[0][1] < 0.5 and with_brown[0][0] < 0.5 and with_brown[0][1] > 3
as_seen &= all(max(abs(one - other) for one, other in zip(case[1], none[1])) <= 0.1 for case in seen.values())
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore stains.py
