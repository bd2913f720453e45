"""What the values of a label file mean: ids, one for each pixel, and for nuclei one for each of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images.files import ImageFileError

_PIECES, _AT_LEAST = 3, 10
"""More than so many pieces for each id, and so many altogether, are nuclei of a few classes."""

_SHADES_PX = 2
"""Half of the pieces are no larger where a mask was resized with shades between its values. In 7,388 parts of real
maps half of the nuclei have 8 px or more, cut and reduced as they are."""

_FULL, _APART = 255, 5
"""The highest id that 8 bits hold; and how far pieces of one id reach that are nuclei whose ids did not fit, in median
sides of a piece. In no real map does an id reach as far."""


def label_map(array: NDArray[Any], path: Path) -> NDArray[np.int32]:
    """Checks that an array holds labels.

    Args:
        array: `(H, W)`, or with a single channel first or last, or colours that are all grey; of any numeric type.
        path: Its file, for messages.

    Returns:
        `(H, W)` int32.

    Raises:
        ImageFileError: It has several channels, fractions, negative values other than -1, or ids beyond int32.
    """
    array = _one_channel(array)
    if array.ndim != 2:
        raise ImageFileError(
            f"{path}: expected a label map with one value per pixel, got shape {array.shape}"
            f"{'; it is a picture: save the ids, not colours' if _is_picture(array) else ''}."
        )
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array != np.round(array)).any():
            raise ImageFileError(
                f"{path}: expected whole numbers as labels, got fractions; save ids, not probabilities."
            )
    elif array.dtype.kind not in "iub":
        raise ImageFileError(f"{path}: expected whole numbers as labels, got dtype {array.dtype}.")
    if array.size and (array.min() < -1 or array.max() > np.iinfo(np.int32).max):
        raise ImageFileError(
            f"{path}: expected labels from -1 (unlabelled) to {np.iinfo(np.int32).max}, got {array.min()} to "
            f"{array.max()}; relabel the map."
        )
    return array.astype(np.int32)


def _one_channel(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim != 3:
        return array
    if array.shape[2] == 1 or array.shape[0] == 1:
        return array[..., 0] if array.shape[2] == 1 else array[0]
    if _is_picture(array):
        colours = array[..., : 3 if array.shape[2] > 2 else 1]
        opaque = array.shape[2] in (1, 3) or (array[..., -1] == np.iinfo(array.dtype).max).all()
        if opaque and (colours == colours[..., :1]).all():
            return colours[..., 0]
    return array


def _is_picture(array: NDArray[Any]) -> bool:
    return array.ndim == 3 and array.shape[2] in (2, 3, 4) and array.dtype.kind == "u"


def instance_map(array: NDArray[Any], path: Path) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Checks that an array holds nuclei, each with an id of its own.

    A map of two values whose nuclei are many pieces is a mask: each piece that touches no other is a nucleus. Two
    channels whose first lies within the second are nuclei and cells, as InstanSeg writes them.

    Args:
        array: As `label_map` takes it, or `(2, H, W)`.
        path: Its file, for messages.

    Returns:
        `(H, W)` int32, and sentences on how it was read.

    Raises:
        ImageFileError: As `label_map`; or the values are classes, which do not tell nuclei that touch apart.
    """
    notes: tuple[str, ...] = ()
    if (both := _nuclei_and_cells(array)) is not None:
        array, notes = both[0], (f"{path}: two channels, nuclei and cells; the cells are left out",)
    label = label_map(array, path)
    pieces, ids, counts = _pieces(label)
    number = counts.sum()
    if number == len(ids):
        return label, notes
    if len(ids) == 1:
        word = f"{path}: a mask of 0 and {ids[0]}; each of its {number} pieces counts as a nucleus"
        return np.where(label < 0, label, pieces).astype(np.int32), (*notes, word)
    shades = np.median(np.bincount(pieces.ravel())[1:]) <= _SHADES_PX
    overflown = ids[-1] == _FULL <= number and _reach_far(label, pieces, ids[counts > 1])
    if number > _AT_LEAST and (number > _PIECES * len(ids) or shades or overflown):
        raise ImageFileError(
            f"{path}: expected an id for each nucleus, got {len(ids)} ids in {number} separate pieces; these are "
            "classes, shades of a mask that was resized, or ids that 8 bits cannot hold: save instances with 16 bits, "
            "resize without interpolation, or give the file as types."
        )
    if len(ids) == 2 and (label > 0).all():
        raise ImageFileError(
            f"{path}: expected 0 where no nucleus is, got the values {ids[0]} and {ids[1]} in {number} pieces; "
            "save a mask with 0 as its background."
        )
    return label, notes


def untyped(types: NDArray[np.integer], instances: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pixels whose type nobody told: 0 stands for "no nucleus", and here is one, or nobody knows whether there is.

    Many programs give nuclei without a class the type 0 (HoVer-Net's "not typed"). They are no background.

    Args:
        types: Type map `(H, W)`, as its file has it.
        instances: Instance map `(H, W)`, -1 where unlabelled.

    Example:
        >>> untyped(np.array([0, 0, 2, 0]), np.array([0, 1, 2, -1])).tolist()
        [False, True, False, True]
    """
    return (types == 0) & (instances != 0)


def count_within(mask: NDArray[np.bool_], instances: NDArray[np.integer]) -> int:
    """The number of nuclei of an instance map `(H, W)` all of whose pixels a mask `(H, W)` has."""
    return int(np.setdiff1d(instances[instances > 0], instances[~mask]).size)


def _pieces(label: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Pieces that touch no other of their id, numbered from 1; the ids above 0, and how many pieces each has."""
    from skimage.measure import label as components

    pieces, number = components(np.maximum(label, 0), connectivity=2, return_num=True)
    id_of = np.zeros(number + 1, np.int32)
    id_of[pieces] = label
    ids, counts = np.unique(id_of[1:], return_counts=True)
    return pieces, ids, counts


def _reach_far(label: NDArray[np.int32], pieces: NDArray[np.int64], several: NDArray[np.int32]) -> bool:
    """Whether an id that is in several pieces reaches farther than a nucleus does."""
    from scipy.ndimage import find_objects

    def sides(boxes: Iterable[tuple[slice, slice]]) -> list[int]:
        return [max(y.stop - y.start, x.stop - x.start) for y, x in boxes]

    of_id = find_objects(np.maximum(label, 0))
    longest = max(sides(of_id[number - 1] for number in several), default=0)
    return bool(longest > _APART * np.median(sides(find_objects(pieces))))


def _nuclei_and_cells(array: NDArray[Any]) -> NDArray[Any] | None:
    if array.ndim != 3 or 2 not in (array.shape[0], array.shape[2]) or array.dtype.kind not in "iuf":
        return None
    both = array if array.shape[0] == 2 else np.moveaxis(array, 2, 0)
    inside = both[0] > 0
    ids = np.count_nonzero(np.diff(np.unique(both[0]))) > 1 or np.count_nonzero(np.diff(np.unique(both[1]))) > 1
    return both if ids and inside.any() and (both[1][inside] > 0).mean() > 0.9 else None
