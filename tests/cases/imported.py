"""What `coseg datalist --layout` makes of a folder: the rows of four doors look alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from .case import Case
from .image_files import RGB, png
from .stand_in import write


def look(folder: Path, result: Any) -> dict[str, Any]:
    """The label maps by the stem of their image: areas of the nuclei, and their types."""
    top = folder / "out"
    if not (top / "datalist.json").is_file():
        return {"stems": []}
    written = json.loads((top / "datalist.json").read_text())
    items = [item for section in ("training", "validation") for item in written[section]]
    found: dict[str, Any] = {"classes": written.get("nuclei_classes"), "stems": []}
    for item in items:
        stem = Path(item["image"]).stem
        label = tifffile.imread(top / item["instances"]).astype(int) if "instances" in item else np.zeros((1, 1), int)
        found["stems"].append(stem)
        found[f"areas_{stem}"] = sorted(np.unique(label[label > 0], return_counts=True)[1].tolist())
        found[f"mpp_{stem}"] = item.get("mpp")
        if "types" in item:
            types = tifffile.imread(top / item["types"])
            of = [int(np.unique(types[label == i])[0]) for i in np.unique(label[label > 0])]
            found[f"types_{stem}"] = sorted(of)
    found["stems"].sort()
    return found


def imported(
    door: str,
    layout: str,
    name: str,
    odd: dict[str, Any],
    good: dict[str, Any],
    refused: str = "",
    says: str = "",
    areas: list[int] | None = None,
    good_areas: list[int] | None = None,
    image: bool = True,
    **right: Any,
) -> Case:
    """A case of a layout: an odd file beside a good one, whose nuclei come out whatever the first one is.

    Args:
        door: The door.
        layout: The layout.
        name: What is odd.
        odd: Files by name.
        good: The good ones.
        refused: The sentence with which the odd one is skipped; imported where empty.
        says: What else is said.
        areas: Areas of the odd one's nuclei, px; of no interest where None.
        good_areas: Of the good one's.
        image: Whether each label has an image beside it.
        right: See `look`.
    """
    images = [("set/a.png", png(RGB)), ("set/b.png", png(RGB))] if image else []
    wanted: dict[str, Any] = {} if good_areas is None else {"areas_b": good_areas}
    if areas is not None:
        wanted["areas_a"] = areas
    if refused:
        wanted["stems"] = lambda stems: "a" not in stems
    return Case(
        door=door,
        name=f"{layout}: {name}",
        make=write(*images, *((f"set/{path}", content) for path, content in {**good, **odd}.items())),
        do=f"datalist set --layout {layout} -o out --validation 0",
        code=1 if refused else 0,
        says=f"skipped: {refused}" if refused else says,
        right=wanted | right,
        look=look,
    )
