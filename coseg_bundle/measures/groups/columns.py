"""Columns that have their names from classes: each class its own, and none that stands for something else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

COUNTED = ("", "_expected", "_low", "_high", "_per_mm2", "_low_per_mm2", "_high_per_mm2")
"""Ends of the columns of a count, behind its name."""

_FIXED = frozenset(
    [*(f"nuclei{end}" for end in COUNTED), *(f"nuclei_prob_{part}" for part in ("mean", "q10", "q50", "q90"))]
)
"""Columns that are there whatever the classes, and that begin as theirs do."""


def count_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Column of the number of nuclei of each class; behind it stand the others of a count (`COUNTED`).

    Args:
        classes: Names of the classes, without the background. One whose columns another one has, or all nuclei, gets a
            number.

    Example:
        >>> count_columns(("plasma cell", "nuclei_tumor", "low", "plasma_cell"))
        ('nuclei_plasma_cell', 'nuclei_tumor', 'nuclei_low_2', 'nuclei_plasma_cell_2')
    """
    return tuple(_distinct([f"nuclei_{_plain(name, 'nuclei_')}" for name in classes], COUNTED, _FIXED))


def area_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Column of the area of each tissue class, named as `count_columns` does.

    Example:
        >>> area_columns(("gland", "tissue_tumor stroma", "tumor_stroma"))
        ('tissue_gland_mm2', 'tissue_tumor_stroma_mm2', 'tissue_tumor_stroma_2_mm2')
    """
    return tuple(f"{stem}_mm2" for stem in _distinct([f"tissue_{_plain(name, 'tissue_')}" for name in classes]))


def nearest_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Column of the distance to the nearest other nucleus of each class, named as `count_columns` does.

    Example:
        >>> nearest_columns(("plasma cell", "plasma_cell"))
        ('nearest_plasma_cell_um', 'nearest_plasma_cell_2_um')
    """
    return tuple(f"{stem}_um" for stem in _distinct([f"nearest_{_plain(name)}" for name in classes]))


def _plain(class_name: str, prefix: str = "") -> str:
    return class_name.removeprefix(prefix).replace(" ", "_")


def _distinct(names: Sequence[str], ends: Sequence[str] = ("",), fixed: Collection[str] = frozenset()) -> Iterator[str]:
    """The names, a number behind those of which a column is taken."""
    taken = set(fixed)
    for name in names:
        number, own = 1, name
        while not taken.isdisjoint(own + end for end in ends):
            number += 1
            own = f"{name}_{number}"
        taken.update(own + end for end in ends)
        yield own
