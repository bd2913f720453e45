"""How many bits of a value are used, and the upper eight of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images.files import ImageFileError

_DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras and scanners have, in values of 16."""

_WHITE = 0.75
"""A brightest value above this share of what the bits can hold is near white, which every image of a section has."""

_WHITE_16 = 0.5
"""The same for 16 bits, which need not be told from more; between a quarter and this, they could be 15."""


def significant_bits(highest: int, told: int | None, path: Path) -> tuple[int, tuple[str, ...]]:
    """Decides how many bits the values of an image have that are stored in more than eight.

    Args:
        highest: The largest value.
        told: What the file's tags say, or None. 16 is what many programs write of every 16-bit file.
        path: The file, for messages.

    Returns:
        The bits, and a sentence part about them for the output where they are not 16.

    Raises:
        ImageFileError: The values have more bits than the tags say, or neither says how many there are.

    Example:
        >>> significant_bits(4080, None, Path("a.tif"))
        (12, ('12 significant bits, as its values up to 4080 show',))
    """
    if told is not None and told < 16:
        if highest >> told:
            raise ImageFileError(
                f"{path}: its tags say {told} significant bits, and it has values up to {highest}; save it as 8-bit "
                "RGB, or with the right SignificantBits (OME) or MaxSampleValue (TIFF)."
            )
        return told, (f"{told} significant bits, as its tags say",)
    if highest == 0:
        return 16, ()
    bits = next((depth for depth in _DEPTHS if highest < 2**depth), 64)  # more than there are
    share = highest / (2**bits - 1)
    if (bits == 16 and (share >= _WHITE_16 or told == 16)) or (told is None and share >= _WHITE):
        return bits, () if bits == 16 else (f"{bits} significant bits, as its values up to {highest} show",)
    says = "its tags say 16 significant bits" if told else "no tag says how many bits are significant"
    raise ImageFileError(
        f"{path}: {says}, and its values end at {highest}, which is white for no usual number of bits; save it as "
        "8-bit RGB, or with SignificantBits (OME) or MaxSampleValue (TIFF)."
    )


def to_8_bit(array: NDArray[Any], bits: int | None, path: Path) -> NDArray[np.uint8]:
    """The upper eight of the significant bits; whether values were multiplied by 256 or by 257 gives the same.

    Args:
        array: Truth values, unsigned whole numbers, or floats in [0, 1].
        bits: Significant bits of whole numbers; those of the dtype when None.
        path: The file, for messages.

    Raises:
        ImageFileError: Other numbers, or such as have more bits.
    """
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype.kind == "f" and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        return np.round(array.astype(np.float32) * 255).astype(np.uint8)
    if array.dtype.kind not in "ui" or array.dtype == np.int8 or (array.dtype.kind == "i" and array.min() < 0):
        raise ImageFileError(
            f"{path}: expected 8-bit or 16-bit pixels or floats in [0, 1], got {array.dtype}; export it as 8-bit RGB."
        )
    bits = bits or 8 * array.dtype.itemsize
    if (bits != 8 * array.dtype.itemsize or bits > 16) and array.max() >> min(bits, 16):
        raise ImageFileError(
            f"{path}: expected values of {min(bits, 16)} bits, got {array.max()}; export it as 8-bit RGB."
        )
    if bits < 8:
        return (array.astype(np.uint16) * 255 // (2**bits - 1)).astype(np.uint8)
    return (array >> (min(bits, 16) - 8)).astype(np.uint8) if bits > 8 else array.astype(np.uint8, copy=False)
