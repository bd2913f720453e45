"""How far around a point all is known: up to where nobody looked, be it outside of regions or at a broken tile.

The slide's own edge is no such border: nothing lies behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ASIDE_PX = 0.5
"""Borders that run along the slide's edge, nearer to it than this, are the edge: no nucleus fits between them."""


@dataclass(frozen=True)
class Horizon:
    """The border of what was looked at.

    Args:
        seen: Shapely geometry of what was looked at, px of level 0; everything where it is None.
        borders: A `shapely.STRtree` of the lines that part it from the rest.
    """

    seen: Any = None
    borders: Any = None

    @classmethod
    def of(
        cls,
        size_xy: tuple[float, float],
        within: Sequence[Any] | None = None,
        broken: Sequence[tuple[float, float, float, float]] = (),
    ) -> Horizon:
        """The horizon of a run.

        Args:
            size_xy: Width and height of the slide, px of level 0.
            within: Shapely polygons that it was limited to; the whole slide where it is None.
            broken: Boxes (x0, y0, x1, y1) that could not be read.
        """
        import shapely

        if within is None and not broken:
            return cls()
        seen = shapely.box(0, 0, *size_xy) if within is None else shapely.union_all(list(within))
        seen = shapely.difference(seen, shapely.union_all([shapely.box(*box) for box in broken]))
        corners, line = shapely.get_coordinates(shapely.get_parts(seen.boundary), return_index=True)
        sides = np.stack([corners[:-1], corners[1:]], axis=1)[line[1:] == line[:-1]]
        along = (sides < _ASIDE_PX).all(1) | (sides > np.array(size_xy) - _ASIDE_PX).all(1)
        sides = sides[~along.any(1)]
        shapely.prepare(seen)
        return cls(seen, shapely.STRtree(shapely.linestrings(sides)))

    def distance(self, points_xy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Distances from points to the border.

        Args:
            points_xy: `(N, 2)` px of level 0.

        Returns:
            `(N,)` px of level 0; 0 beyond the border, infinite where there is none.

        Example:
            >>> left = Horizon.of((100, 50), broken=[(80, 0, 100, 50)])
            >>> left.distance(np.array([[70.0, 20.0], [5.0, 5.0], [90.0, 20.0]])).tolist()
            [10.0, 75.0, 0.0]
        """
        import shapely

        found = np.full(len(points_xy), np.inf)
        if self.seen is None or not len(points_xy):
            return found
        if len(self.borders):
            (rows, _), away = self.borders.query_nearest(
                shapely.points(points_xy), return_distance=True, all_matches=False
            )
            found[rows] = away
        found[~shapely.intersects_xy(self.seen, *np.asarray(points_xy, np.float64).T)] = 0
        return found
