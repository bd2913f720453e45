"""How far around a nucleus a measure looks: a change that is nearer, or a border of what is known, makes it unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.measures.groups.columns import nearest_columns

RADII_UM = (25, 50)
"""Neighbours are counted within these distances."""

DENSITY_NEIGHBOURS = 10
"""The local density is that of the circle that reaches to this neighbour."""

_RING_UM = 25.0
"""From the middle of a nucleus to that of another one that its ring of 1 um may touch: both are smaller than this."""


@dataclass(frozen=True)
class Reach:
    """What a measure sees around a nucleus.

    Attributes:
        of: What it looks at: places of nuclei, their outlines, or the tissue.
        um: `(N,)` how far it looks: a radius, or as far as it found something; NaN where it found nothing.
        type_id: The only class of nuclei that it looks at; None for all.
    """

    of: Literal["places", "outlines", "tissue"]
    um: NDArray[np.float64]
    type_id: int | None = None


def reach_of(column: str, values: NDArray[np.floating], classes: Sequence[str]) -> Reach | None:
    """How far values of a measure depend on what lies around their nuclei.

    Args:
        column: Its name; `docs/measures.md` defines it.
        values: `(N,)` as in the tables.
        classes: Names of the nuclei classes, without the background.

    Returns:
        None for a measure of the nucleus alone.

    Example:
        >>> reach_of("nearest_um", np.array([7.5]), ["tumour"])
        Reach(of='places', um=array([7.5]), type_id=None)
        >>> reach_of("area_um2", np.array([30.0]), ["tumour"])
    """
    um = np.asarray(values, np.float64)
    if column in ("tissue_border_um", "tumor_um"):
        return Reach("tissue", um)
    if column in ("ring_haematoxylin_od", "ring_eosin_od"):
        return Reach("outlines", np.where(np.isnan(um), np.nan, _RING_UM))
    if column == "local_density_per_mm2":
        with np.errstate(divide="ignore"):
            return Reach("places", np.sqrt((DENSITY_NEIGHBOURS - 1) / (np.pi * um)) * 1e3)
    for radius in RADII_UM:
        if column == f"neighbours_{radius}um":
            return Reach("places", np.where(np.isnan(um), np.nan, float(radius)))
    if column == "nearest_um":
        return Reach("places", um)
    nearest = nearest_columns(classes)
    return Reach("places", um, nearest.index(column) + 1) if column in nearest else None
