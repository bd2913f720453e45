"""The one table of class names, ids and colours: from the dataset to the GeoJSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

RGB = tuple[int, int, int]

UNLABELLED = 255
"""Value of a pixel without a label in `tissue_map` and `type_map` labels: it contributes to no loss and no score."""

UNLABELLED_INSTANCE = -1
"""Value of a pixel without a label in `instance_map` labels."""

GROUND = "other_tissue"
"""A tissue class that is most of an image: no picture tints it, its outline is enough."""

_PALETTE: tuple[RGB, ...] = (
    (230, 75, 53),
    (77, 187, 213),
    (0, 160, 135),
    (243, 155, 127),
    (60, 84, 136),
    (132, 145, 180),
    (145, 209, 194),
    (220, 0, 0),
    (126, 97, 72),
    (176, 156, 133),
)
"""Colours of classes that have none of their own, in order, as far as no other class of the map looks like them."""

_GRID: tuple[RGB, ...] = tuple(product(range(0, 256, 36), repeat=3))  # type: ignore[arg-type]
"""Where the palette ends: more colours than there can be class ids in eight bits."""

_ALIKE = 50
"""Colours nearer than this, of 441 from black to white, look alike; those of the palette are farther apart."""

_COLOURS: dict[str, RGB] = {
    "background": (255, 255, 255),
    "nucleus": (255, 221, 0),
    "gland": (0, 160, 135),
    "empty": (255, 255, 255),
    GROUND: (230, 159, 0),
    "epithelial": (255, 221, 0),  # these four differ in lightness too: whoever sees no red or no green tells them apart
    "inflammatory": (0, 90, 255),
    "spindle": (0, 235, 235),
    "other": (60, 40, 30),
    "tissue_white_background": (255, 255, 255),
    "tissue_stroma": (150, 200, 150),
    "tissue_blood_vessel": (255, 0, 0),
    "tissue_tumor": (200, 0, 0),
    "tissue_epidermis": (99, 145, 164),
    "tissue_necrosis": (51, 0, 0),
    "nuclei_tumor": (200, 0, 0),
    "nuclei_lymphocyte": (255, 0, 255),
    "nuclei_other": (0, 160, 135),
    "nuclei_apoptosis": (3, 193, 98),
    "nuclei_endothelium": (0, 0, 255),
    "nuclei_plasma_cell": (153, 102, 255),
    "nuclei_stroma": (150, 200, 150),
    "nuclei_histiocyte": (127, 181, 53),
    "nuclei_melanophage": (66, 48, 12),
    "nuclei_neutrophil": (0, 255, 255),
    "nuclei_epithelium": (99, 145, 164),
}


@dataclass(frozen=True)
class ClassMap:
    """Ordered class names; the id of a class is its position.

    Args:
        names: Class names, unique and not empty. For tissue, id 0 is the first name. For nuclei, id 0 is the background
            of the type map and must be called `background`.

    Raises:
        ValueError: Names are missing, empty or occur twice.

    Example:
        >>> classes = ClassMap(("background", "gland"))
        >>> classes.id_of("gland"), classes.name_of(0), classes.colour_of(1)
        (1, 'background', (0, 160, 135))
    """

    names: tuple[str, ...]

    def __init__(self, names: Sequence[str]) -> None:
        object.__setattr__(self, "names", tuple(names))
        if not all(map(str.strip, self.names)) or not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(
                f"Expected class names that are unique and not empty, got {list(names)}; rename or merge the classes."
            )

    def __len__(self) -> int:
        return len(self.names)

    def id_of(self, name: str) -> int:
        """Id of a class name; ValueError lists the known names when it is none of them."""
        if name not in self.names:
            raise ValueError(f"Unknown class {name!r}: expected one of {', '.join(self.names)}.")
        return self.names.index(name)

    def name_of(self, class_id: int) -> str:
        """Name of a class id; ValueError says the range when it is outside."""
        if not 0 <= class_id < len(self.names):
            raise ValueError(f"Unknown class id {class_id}: expected 0 to {len(self.names) - 1} ({list(self.names)}).")
        return self.names[class_id]

    def colour_of(self, class_id: int) -> RGB:
        """RGB colour, 0 to 255, of a class id; no other class of the map has it.

        Example:
            >>> ClassMap(("background", "tumor", "stroma", "gland")).colour_of(2)  # not the third: it is gland's
            (243, 155, 127)
        """
        self.name_of(class_id)
        return _colours_of(self.names)[class_id]

    def is_tinted(self, class_id: int) -> bool:
        """Whether pictures are tinted where this tissue class is: neither the first one nor the ground."""
        return class_id > 0 and self.name_of(class_id) != GROUND


@cache
def _colours_of(names: tuple[str, ...]) -> tuple[RGB, ...]:
    """A colour for each class: its own, unless a class before it has that; the next free one of the palette, beginning
    at its id; then of the grid, the one that is farthest from all others."""
    first = {_COLOURS[name]: name for name in reversed(names) if name in _COLOURS}
    least = dict.fromkeys((*_PALETTE, *_GRID), math.inf)  # how far each is from the nearest colour that is taken
    for taken in first:
        _take(taken, least)
    chosen = []
    for number, name in enumerate(names):
        colour = _COLOURS.get(name)
        if colour is None or first[colour] != name:
            start = number % len(_PALETTE)
            free = (one for one in (*_PALETTE[start:], *_PALETTE[:start]) if least[one] >= _ALIKE)
            colour = next(free, None) or max(_GRID, key=least.__getitem__)
            _take(colour, least)
        chosen.append(colour)
    return tuple(chosen)


def _take(colour: RGB, least: dict[RGB, float]) -> None:
    """Brings the distances to the nearest colour that is taken up to date with another one."""
    for one, distance in least.items():
        least[one] = min(distance, math.dist(one, colour))


def place_of(name: str, names: Sequence[str]) -> int | None:
    """The position of a name: its own, or that of the only one that differs from it in case alone."""
    if name in names:
        return names.index(name)
    alike = [place for place, other in enumerate(names) if other.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def places_of(names: Sequence[str], among: Sequence[str]) -> list[int | None]:
    """The position of each name among others, told as `place_of` does; None too where several are told to be one.

    Example:
        >>> places_of(["Stroma", "gland", "fat"], ["gland", "stroma"])
        [1, 0, None]
    """
    places = [place_of(name, among) for name in names]
    return [
        place if place is None or among[place] == name or places.count(place) == 1 else None
        for name, place in zip(names, places, strict=True)
    ]


UNTRAINED = "untrained"
"""What results call the classes of a task that nobody taught the network."""


def result_classes(
    tissue_classes: Sequence[str], nuclei_classes: Sequence[str], untrained: Sequence[str]
) -> tuple[ClassMap, ClassMap]:
    """Names for results, of tissue and of nuclei: a network's own, where it was taught them.

    Args:
        tissue_classes: The network's tissue class names.
        nuclei_classes: Its nuclei class names, background first.
        untrained: Tasks that had no labels: `tissue`, `nuclei`, `types`.

    Example:
        >>> tissue, nuclei = result_classes(("background", "gland"), ("background", "a", "b"), ("tissue", "types"))
        >>> tissue.names, nuclei.names
        (('untrained',), ('background', 'nucleus'))
    """
    nuclei = ("background", "nucleus") if "types" in untrained else tuple(nuclei_classes)
    if "nuclei" in untrained:
        nuclei = ("background", UNTRAINED)
    return ClassMap((UNTRAINED,) if "tissue" in untrained else tuple(tissue_classes)), ClassMap(nuclei)


TISSUE_PRESETS: dict[str, ClassMap] = {
    "gland": ClassMap(("background", "gland")),
    "puma": ClassMap(
        (
            "tissue_white_background",
            "tissue_stroma",
            "tissue_blood_vessel",
            "tissue_tumor",
            "tissue_epidermis",
            "tissue_necrosis",
        )
    ),
}
"""Tissue class maps by preset name."""

NUCLEI_PRESETS: dict[str, ClassMap] = {
    "binary": ClassMap(("background", "nucleus")),
    "puma_track1": ClassMap(("background", "nuclei_tumor", "nuclei_lymphocyte", "nuclei_other")),
    "puma_track2": ClassMap(
        (
            "background",
            "nuclei_tumor",
            "nuclei_apoptosis",
            "nuclei_lymphocyte",
            "nuclei_endothelium",
            "nuclei_plasma_cell",
            "nuclei_stroma",
            "nuclei_histiocyte",
            "nuclei_melanophage",
            "nuclei_neutrophil",
            "nuclei_epithelium",
        )
    ),
}
"""Nuclei class maps by preset name; id 0 is the background of the type map."""

PUMA_TRACK1_OF_TRACK2: dict[str, str] = {
    "nuclei_tumor": "nuclei_tumor",
    "nuclei_lymphocyte": "nuclei_lymphocyte",
    "nuclei_plasma_cell": "nuclei_lymphocyte",
    "nuclei_apoptosis": "nuclei_other",
    "nuclei_endothelium": "nuclei_other",
    "nuclei_stroma": "nuclei_other",
    "nuclei_histiocyte": "nuclei_other",
    "nuclei_melanophage": "nuclei_other",
    "nuclei_neutrophil": "nuclei_other",
    "nuclei_epithelium": "nuclei_other",
    "nuclei_other": "nuclei_other",
}
"""PUMA's ten nuclei classes as the three of track 1; plasma cells count with the lymphocytes (TILs)."""
