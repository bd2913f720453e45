#!/usr/bin/env bash
# wsiprocess: a rule by which a class includes or excludes two others, when masks are made of a pathologist's annotations.
#
# Expected: with {"includes": ["stroma", "fat"], ...} the mask of the class holds its own regions and those of both; with
# {"excludes": ["necrosis", "fold"], ...} it holds none of either. The documentation's own example excludes two classes.
# Seen (wsiprocess 1.1.1, opencv-python-headless 4.14.0.94, numpy 2.4.6, CPython 3.11): of two classes to include only the last is:
# each replaces what the one before gave. Tissue of 10,201 px with stroma and fat beside it has 20,301 px instead of 30,401, and
# which are missing depends on the order in the rule. Of two excluded classes, what lies in both is cut out and put back, as each
# is taken out by XOR: of a tumour with necrosis, over which a fold lies, 441 px are tumour that are necrosis and fold at once.
# Three that overlap are right again. Patches for training are taken from these masks. Nothing is said about it.
# What follows: one class in `includes` and one in `excludes`, after merging the others in the annotations, or take the union by
# oneself.
# OpenSlide, which wsiprocess imports, is not used: the masks need only the slide's size.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "opencv-python-headless==4.14.0.94" "openslide-python==1.4.7" "openslide-bin==4.0.1.2"
env/bin/pip install --quiet "pandas==3.0.2" "psutil==7.2.2" "tqdm==4.68.4" "lxml==6.1.1"
env/bin/pip install --quiet --no-deps "wsiprocess==1.1.1"
cat > rules.py <<'PY'
import sys
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
import wsiprocess

boxes = {  # left, top, right, bottom
    "tissue": (100, 100, 200, 200), "stroma": (201, 100, 300, 200), "fat": (100, 201, 200, 300), "tumour": (400, 100, 500, 200),
    "necrosis": (420, 120, 460, 160), "fold": (440, 140, 480, 180), "ink": (440, 140, 460, 160),
}
with open("annotations.xml", "w") as file:
    file.write('<?xml version="1.0"?><ASAP_Annotations><Annotations>')
    for name, (left, top, right, bottom) in boxes.items():
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        file.write(f'<Annotation Name="{name}" Type="Polygon" PartOfGroup="{name}" Color="#F4FA58"><Coordinates>')
        file.writelines(f'<Coordinate Order="{order}" X="{x}" Y="{y}"/>' for order, (x, y) in enumerate(corners))
        file.write("</Coordinates></Annotation>")
    groups = "".join(f'<Group Name="{name}" PartOfGroup="None" Color="#00ff00"><Attributes/></Group>' for name in boxes)
    file.write(f"</Annotations><AnnotationGroups>{groups}</AnnotationGroups></ASAP_Annotations>")
slide = SimpleNamespace(width=600, height=600)


def by_hand(*names):
    mask = np.zeros((600, 600), dtype=bool)
    for name in names:
        left, top, right, bottom = boxes[name]
        mask[top : bottom + 1, left : right + 1] = True
    return mask


def masked(name, includes=(), excludes=()):
    """The mask of a class by a rule, and what it should be."""
    rule = {other: {"includes": [], "excludes": []} for other in boxes}
    rule[name] = {"includes": list(includes), "excludes": list(excludes)}
    annotation = wsiprocess.annotation("annotations.xml")
    annotation.make_masks(slide, wsiprocess.rule(rule), foreground_fn=False, size=600)
    mask = annotation.masks[name] > 0
    right = by_hand(name, *includes) & ~by_hand(*excludes)
    found = int(mask.sum()), int(right.sum())
    print(f"{name}, includes {list(includes)}, excludes {list(excludes)}: {found[0]} px, by hand {found[1]}")
    return *found, mask


print(*(f"{name} {version(name)}" for name in ("wsiprocess", "opencv-python-headless", "numpy")))
alone = [masked("tissue"), masked("tissue", ["fat"]), masked("tumour", (), ["necrosis"])]
one, other = masked("tissue", ["stroma", "fat"]), masked("tissue", ["fat", "stroma"])
two = masked("tumour", (), ["necrosis", "fold"])
three = masked("tumour", (), ["necrosis", "fold", "ink"])
both = by_hand("necrosis") & by_hand("fold")
print(f"px of necrosis and fold at once: {both.sum()}; of those in the tumour: {(two[2] & both).sum()}")
as_seen = all(seen == right for seen, right, _ in [*alone, three]) and one[0] < one[1] and other[0] < other[1]
as_seen &= bool((one[2] == by_hand("tissue", "fat")).all() and (other[2] == by_hand("tissue", "stroma")).all())
as_seen &= two[0] - two[1] == both.sum() == (two[2] & both).sum() > 0
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore rules.py
