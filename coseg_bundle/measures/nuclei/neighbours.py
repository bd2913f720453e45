"""Who lies near whom: distances to the nearest nucleus, neighbours, local density."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.measures.groups.columns import nearest_columns
from coseg_bundle.measures.nuclei.reach import DENSITY_NEIGHBOURS, RADII_UM, reach_of


def neighbour_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """What `Neighbours.measures` gives, in the order of the tables; with one class it needs no column of its own."""
    of_classes = nearest_columns(classes) if len(classes) > 1 else ()
    return ("nearest_um", *of_classes, *(f"neighbours_{r}um" for r in RADII_UM), "local_density_per_mm2")


@dataclass(frozen=True)
class Neighbours:
    """All nuclei of a slide, to be asked for the neighbours of some of them.

    Args:
        everyone: A `scipy.spatial.cKDTree` of all centroids, um.
        of_class: One of each class.
        classes: Names of the classes, without the background.
        workers: Threads that search.
    """

    everyone: Any
    of_class: tuple[Any, ...]
    classes: tuple[str, ...]
    workers: int = 1

    @classmethod
    def of(
        cls, points_um: NDArray[np.float64], type_id: NDArray[np.integer], classes: Sequence[str], workers: int = 1
    ) -> Neighbours:
        """Builds the trees.

        Args:
            points_um: `(N, 2)` centroids.
            type_id: `(N,)`, 1 for the first of `classes`.
            classes: Names of the classes, without the background.
            workers: Threads that search.
        """
        from scipy.spatial import cKDTree

        several = range(1, len(classes) + 1) if len(classes) > 1 else ()
        trees = tuple(cKDTree(points_um[type_id == i], balanced_tree=False) for i in several)
        return cls(cKDTree(points_um, balanced_tree=False), trees, tuple(classes), workers)

    def measures(
        self,
        points_um: NDArray[np.float64],
        type_id: NDArray[np.integer],
        known_um: NDArray[np.float64] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Measures some of the nuclei.

        Args:
            points_um: `(M, 2)` centroids, each one of all.
            type_id: `(M,)` their classes.
            known_um: `(M,)` how far around each of them all nuclei are known; everywhere when not given.

        Returns:
            `(M,)` float32 by the names of `neighbour_columns`; NaN where there is no such neighbour, and where a circle
            reaches out of what is known.
        """
        known = np.full(len(points_um), np.inf) if known_um is None else known_um
        found: dict[str, NDArray[Any]] = {}
        k = DENSITY_NEIGHBOURS
        distance = self._search(self.everyone, points_um, k + 1)
        found["nearest_um"] = distance[:, 1]
        columns = nearest_columns(self.classes)
        for number, (name, tree) in enumerate(zip(columns, self.of_class, strict=False), start=1):
            near = self._search(tree, points_um, 2)
            found[name] = np.where(type_id == number, near[:, 1], near[:, 0])  # not itself
        for radius in RADII_UM:
            found[f"neighbours_{radius}um"] = self._count(points_um, radius, distance)
        with np.errstate(divide="ignore"):
            density = (k - 1) / (np.pi * distance[:, k] ** 2) * 1e6
        found["local_density_per_mm2"] = np.where(np.isfinite(density), density, np.nan)
        for name, values in found.items():
            if (reach := reach_of(name, values, self.classes)) is not None:
                found[name] = np.where(reach.um <= known, values, np.nan)
        return {name: found[name].astype(np.float32) for name in neighbour_columns(self.classes)}

    def _search(self, tree: Any, points_um: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        """Distances to the nearest `count` `(M, count)`, the nucleus itself among them; NaN where there are fewer."""
        distance, _ = tree.query(points_um, k=np.arange(1, count + 1), workers=self.workers)
        return np.where(np.isfinite(distance), distance, np.nan)

    def _count(self, points_um: NDArray[np.float64], radius: float, distance: NDArray[np.float64]) -> NDArray[Any]:
        """Neighbours within a radius, the nucleus itself left out."""
        counted = (distance <= radius).sum(1) - 1
        many = distance[:, -1] <= radius  # the others have been counted by the search
        if many.any():
            counted[many] = (
                self.everyone.query_ball_point(points_um[many], radius, return_length=True, workers=self.workers) - 1
            )
        return counted
