#!/usr/bin/env bash
# MONAI's NormalizeHEStains and an image that has the reference stains already.
#
# Expected: ExtractHEStains gives hematoxylin first and eosin second, as its documentation says. An image that is made of the two
# reference stains, the default `target_he` of NormalizeHEStains, comes out of that transform with the colours it had.
# Seen (monai 1.6.1, and 1.5.2 beside it; torch 2.13.0, numpy 2.4.6, CPython 3.11): 1.5.2 does so. 1.6.1 gives eosin first, and
# the normalized image has its stains exchanged: blue nuclei (96, 72, 121) come out pink (190, 115, 144), and the pink around
# them comes out blue. No error, no warning. The new rule for the order wants the lower ratio of red to blue first; that holds for
# the light of hematoxylin, but what is compared is absorbance, where it is the other way round.
# What follows: with this release look at a normalized patch before a training. `target_he` and `max_cref` with their two
# stains exchanged give the right picture back.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "monai==1.6.1" "numpy==2.4.6"
env/bin/pip install --quiet --no-deps --target before "monai==1.5.2"
cat > normalize.py <<'PY'
import sys

import monai
import numpy as np
import torch
from monai.apps.pathology.transforms import ExtractHEStains, NormalizeHEStains

reference = np.array([[0.5626, 0.2159], [0.7201, 0.8012], [0.4062, 0.5581]])  # absorbance of R, G, B: hematoxylin, eosin
random = np.random.default_rng(0)
nucleus = np.arange(4096).reshape(64, 64) < 1024  # the upper quarter
much = np.where(nucleus, random.uniform(1.2, 1.97, (64, 64)), random.uniform(0.4, 1.03, (64, 64)))
little = random.uniform(0.02, 0.1, (64, 64))
stains = np.where(nucleus, [much, little], [little, much])
image = (240 * np.exp(-np.einsum("cs,syx->yxc", reference, stains)) - 1).round().clip(0, 255).astype(np.uint8)


def colours(picture):
    """Mean colours of the nuclei and of what is around them."""
    return np.array([picture[place].mean(axis=0) for place in (nucleus, ~nucleus)]).round().astype(int)


before, after = colours(image), colours(NormalizeHEStains()(image))
turned = colours(NormalizeHEStains(target_he=reference[:, ::-1], max_cref=(1.0308, 1.9705))(image))
order = ExtractHEStains()(image)
print(f"monai {monai.__version__} torch {torch.__version__} numpy {np.__version__}")
print("absorbance of the first and of the second stain:", order.T.round(2).tolist())
for name, found in (("before", before), ("after", after), ("after, targets exchanged", turned)):
    print(f"{name}: nuclei {found[0].tolist()}, around {found[1].tolist()}")
if abs(order - reference).max() < 0.02 and abs(after - before).max() < 6:
    sys.exit(3)  # hematoxylin first, and the colours stay
exchanged = abs(order - reference[:, ::-1]).max() < 0.02 and after[0, 0] > before[0, 0] + 50 and after[1, 0] < before[1, 0] - 50
sys.exit(0 if exchanged and abs(turned - before).max() < 6 else 1)
PY
old=0; new=0
PYTHONPATH=before env/bin/python -W ignore normalize.py || old=$?
env/bin/python -W ignore normalize.py || new=$?
[ "$old" = 3 ] && [ "$new" = 0 ]
