"""What a correction changes: nuclei of which the network says the same, told or not, stay what they were.

The network looks at a frame anew, and from another corner than the run that found the nuclei: at the limit of what is
one it answers a little differently, whatever was drawn. So its answer is compared with what it says of the same frame
when nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAME = 0.7
"""Intersection over union from which two outlines are one nucleus, drawn alike."""


def changes(
    before: Sequence[Any], after: Sequence[Any], names_before: Sequence[str], names_after: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which nuclei of two answers the other one does not have: none of it has `SAME` outline and class.

    Args:
        before: Polygons (shapely) of one answer.
        after: Those of the other.
        names_before: Their classes.
        names_after: The same.

    Returns:
        `(N,)` and `(M,)` bool.
    """
    import shapely

    one, other = np.array(before, object), np.array(after, object)
    i, j = shapely.STRtree(other).query(one)
    shared = shapely.area(shapely.intersection(one[i], other[j]))
    alike = shared >= SAME * (shapely.area(one[i]) + shapely.area(other[j]) - shared)
    alike &= np.array(names_before, object)[i] == np.array(names_after, object)[j]
    gone, new = np.ones(len(one), bool), np.ones(len(other), bool)
    gone[i[alike]], new[j[alike]] = False, False
    return gone, new


def polygon(ring: NDArray[np.floating]) -> Any:
    """An outline `(P, 2)` as a polygon (shapely) that can be intersected."""
    import shapely

    return shapely.make_valid(shapely.Polygon(ring))


def untouched(outlines: Sequence[Any], changed: Sequence[Any]) -> NDArray[np.bool_]:
    """Which nuclei `(N,)` lie apart from what changed: neither holds the centroid of the other.

    Args:
        outlines: Polygons (shapely) of nuclei.
        changed: Polygons of what changed.
    """
    import shapely

    own, theirs = np.array(outlines, object), np.array(changed, object)
    kept = np.ones(len(own), bool)
    kept[shapely.STRtree(theirs).query(shapely.centroid(own), predicate="intersects")[0]] = False
    kept[shapely.STRtree(own).query(shapely.centroid(theirs), predicate="intersects")[1]] = False
    return kept
