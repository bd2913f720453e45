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

_OWN, _GROWN = 0.5, 0.05
"""More than this share of the nuclei have a cell of their own, and more than this share of their area lies beside them
in cells: else the second channel is none of cells. Where less lies beside them, as many ids as sets have classes
(`_AT_LEAST`) are types, unless they are the nuclei's own."""

_GROUND, _THICK = 0.25, 0.05
"""A background covers more than this share of a map, also of dense tissue; of lines between nuclei no more than this
share lies within others. So told, none of 6,882 real maps, cut to 16 px and more, has a background with an id, and
2,322 of 2,354 that were given one have."""

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
    channels are nuclei and cells, as InstanSeg writes them, where nuclei lie in cells of their own.

    Args:
        array: As `label_map` takes it, or `(2, H, W)`.
        path: Its file, for messages.

    Returns:
        `(H, W)` int32, and sentences on how it was read.

    Raises:
        ImageFileError: As `label_map`; or the values are classes, which do not tell nuclei that touch apart; or the
            background has an id; or two channels are instances and types.
    """
    notes: tuple[str, ...] = ()
    if (both := _nuclei_and_cells(array, path)) is not None:
        array, notes = both[0], (f"{path}: two channels, nuclei and cells; the cells are left out",)
    label = label_map(array, path)
    pieces, ids, counts = _pieces(label)
    number = counts.sum()
    if len(ids) > 1 and (ground := _ground(label, pieces)) is not None:
        raise ImageFileError(
            f"{path}: expected 0 where no nucleus is, got the id {ground[0]} around others on {ground[1]:.0%} of the "
            "map; save the map with 0 as its background."
        )
    if number == len(ids):
        return label, notes
    if len(ids) == 1:
        word = f"{path}: a mask of 0 and {ids[0]}; each of its {number} pieces counts as a nucleus"
        return np.where(label < 0, label, pieces).astype(np.int32), (*notes, word)
    shades = np.median(np.bincount(pieces.ravel())[1:]) <= _SHADES_PX
    full = array.dtype.itemsize == 1 and ids[-1] == _FULL <= number
    overflown = full and _reach_far(label, pieces, ids[counts > 1])
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


def _ground(label: NDArray[np.int32], pieces: NDArray[np.int64]) -> tuple[int, float] | None:
    """The id that a background has, and its share of the map: watersheds number it as they do nuclei.

    It is the largest piece, reaches all four sides of what is labelled and surrounds others, and what has no id is
    nothing but lines. No nucleus is like that, however large in its tile.
    """
    from scipy.ndimage import binary_erosion

    areas = np.bincount(pieces.ravel())
    largest = int(areas[1:].argmax()) + 1
    if areas[largest] <= _GROUND * label.size:
        return None
    rows, columns = (np.flatnonzero((label > 0).any(axis=axis)) for axis in (1, 0))  # OpenCV's watershed frames with -1
    inner = pieces[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    sides = [inner[0], inner[-1], inner[:, 0], inner[:, -1]]
    surrounded = np.setdiff1d(inner, np.concatenate([*sides, [0, largest]]))
    if not surrounded.size or not all((side == largest).any() for side in sides):
        return None
    without = label <= 0
    if binary_erosion(without, np.ones((3, 3))).sum() > _THICK * without.sum():
        return None
    return int(label[pieces == largest][0]), float(areas[largest] / label.size)


def _nuclei_and_cells(array: NDArray[Any], path: Path) -> NDArray[Any] | None:
    """Both channels `(2, H, W)`, if that is what they are."""
    if array.ndim != 3 or 2 not in (array.shape[0], array.shape[2]) or array.dtype.kind not in "iuf":
        return None
    nuclei, cells = both = array if array.shape[0] == 2 else np.moveaxis(array, 2, 0)
    inside = nuclei > 0
    ids = [np.unique(channel[channel > 0]).size for channel in both]
    if max(ids) < 2 or not inside.any() or (cells[inside] > 0).mean() <= 0.9:
        return None
    shared = inside & (cells > 0)
    if np.array_equal(nuclei[shared], cells[shared]):
        return both
    if ((cells > 0) & ~inside).sum() > _GROWN * inside.sum():
        return both if _share_of_own(nuclei[inside], cells[inside]) > _OWN else None
    ways = ((nuclei[shared], cells[shared]), (cells[shared], nuclei[shared]))  # types may be the first channel
    if min(ids) > _AT_LEAST and min(_share_of_own(*way) for way in ways) > _OWN:
        return both
    raise ImageFileError(
        f"{path}: expected nuclei, or nuclei and cells around them, got two channels of {ids[0]} and {ids[1]} ids on "
        "the same pixels: instances and types; save each as a map of its own (in nuclei/ and types/ for a datalist)."
    )


def _share_of_own(nuclei: NDArray[Any], cells: NDArray[Any]) -> float:
    """Share of the nuclei that lie in a cell of their own; ids of both, pixel by pixel, `(P,)`."""
    of_nuclei, row = np.unique(nuclei, return_inverse=True)
    of_cells, column = np.unique(cells, return_inverse=True)
    pairs, counts = np.unique(row * of_cells.size + column, return_counts=True)
    pairs = pairs[np.argsort(counts, kind="stable")]
    cell_of = np.zeros(of_nuclei.size, np.int64)
    cell_of[pairs // of_cells.size] = pairs % of_cells.size  # the last one wins: that with most pixels
    return np.unique(cell_of).size / of_nuclei.size
