"""A slide that is stored on its side or mirrored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images.orientation import lies_on_its_side, stored_box, upright
from coseg_bundle.wsi.read.backend import Backend, Region


class TurnedBackend:
    """Another backend as its file's orientation tag says that it is to be seen; whatever is read is turned.

    Args:
        backend: The slide as it is stored.
        orientation: What the tag says, 2 to 8.
    """

    def __init__(self, backend: Backend, orientation: int) -> None:
        self._stored, self._orientation = backend, orientation
        aside = lies_on_its_side(orientation)
        self.level_sizes_xy = [(h, w) if aside else (w, h) for w, h in backend.level_sizes_xy]
        self.downsamples, self.pixel_size, self.notes = backend.downsamples, backend.pixel_size, backend.notes
        self.origin_xy, self.missing_tiles = backend.origin_xy, backend.missing_tiles

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Region:
        """See `Backend`."""
        rgb, unscanned = self._stored.read(level, *self._box(level, x, y, width, height))
        return Region(np.ascontiguousarray(upright(rgb, self._orientation)), self._turned(unscanned))

    def unscanned(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.bool_] | None:
        """See `Backend`."""
        return self._turned(self._stored.unscanned(level, *self._box(level, x, y, width, height)))

    def close(self) -> None:
        """See `Backend`."""
        self._stored.close()

    def _box(self, level: int, *box: int) -> tuple[int, int, int, int]:
        x, y, width, height = box
        return stored_box((x, y, width, height), self.level_sizes_xy[level], self._orientation)

    def _turned(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        return None if mask is None else upright(mask, self._orientation)
