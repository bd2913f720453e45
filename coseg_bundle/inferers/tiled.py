"""Windows: images of any size from 1 x 1 pixel on, through a network that takes sides of a multiple of 32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from coseg_bundle.engine.tensors import Images, counted, is_tensor_of_cpu, joined, padded, zeros
from coseg_bundle.networks.blocks.variants import SIDE_MULTIPLE
from coseg_bundle.settings.values import check_number


class TiledInferer:
    """Cuts images into as few windows as their size allows, and blends what the network says about them.

    An image that is no larger than a window goes through at its own size, a small one with a mirrored border, since a
    network knows least of what lies at the edge. A larger one is cut into windows of one size that overlap; where they
    do, their answers are weighted by the distance to the edge (as MONAI's sliding window does, whose windows have one
    size whatever the image's).

    Args:
        tile_size: Largest side of a window, px; a multiple of 32.
        batch_size: Windows that go through the network together on a GPU; PyTorch on a CPU takes them one by one.
        overlap: Share of a window that the next one covers again, 0 to below 1; all but a pixel of it at most.
        fixed: Whether every window has `tile_size`, smaller images mirrored: for networks that take no other.
        border_px: Mirrored border around an image that fits into a window with it.

    Raises:
        ValueError: The tile size is no multiple of 32, or a setting out of its range.
    """

    def __init__(
        self,
        tile_size: int = 1024,
        batch_size: int = 4,
        overlap: float = 1 / 16,
        fixed: bool = False,
        border_px: int = 32,
    ) -> None:
        check_tile_size(tile_size)
        if not 0 <= overlap < 1:
            raise ValueError(f"Expected an overlap from 0 to below 1, got {overlap}.")
        check_number("tile_batch_size", batch_size, 1, kind="whole number")
        check_number("border_px", border_px, kind="whole number")
        self.tile_size, self.batch_size, self.fixed, self.border_px = tile_size, batch_size, fixed, border_px
        self.overlap_px = min(round(tile_size * overlap), tile_size - 1)  # a step of 0 would lead nowhere

    def __call__(self, inputs: Images, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Images:
        """Infers `inputs` `(B, C, H, W)`; the result has the same height and width."""
        border = self._border(inputs)
        if border:
            height, width = inputs.shape[-2:]
            framed = padded(inputs, border, border, border, border, "reflect")
            return self._answer(framed, network, *args, **kwargs)[
                ..., border : border + height, border : border + width
            ]
        return self._answer(inputs, network, *args, **kwargs)

    def _border(self, inputs: Images) -> int:
        """Width of the mirrored frame around an image, px."""
        longest, shortest, border = max(inputs.shape[-2:]), min(inputs.shape[-2:]), self.border_px
        small = not self.fixed and longest + 2 * border <= self.tile_size and border < shortest
        return border if small else 0

    def _answer(self, inputs: Images, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Images:
        height, width = inputs.shape[-2:]
        rows, columns = (self._windows(side) for side in (height, width))
        whole = mirror_to(inputs, rows[-1][1], columns[-1][1])
        boxes = [(slice(*row), slice(*column)) for row in rows for column in columns]
        if len(boxes) == 1:
            pred = _through(network, whole, *args, **kwargs)
            return pred[..., :height, :width]
        total, weight, count = None, zeros(whole.shape[-2:], inputs), len(inputs)
        across, down = (_ramp(window[0], self.overlap_px, inputs) for window in (columns, rows))
        ramp = down[:, None] * across
        for batch in _batches(boxes, max(1, self.batch_size // count)):
            answers = _through(network, joined([whole[..., box[0], box[1]] for box in batch], 0), *args, **kwargs)
            for number, box in enumerate(batch):
                answer = answers[number * count : (number + 1) * count]
                if total is None:
                    total = zeros((*answer.shape[:2], *whole.shape[-2:]), answer)
                total[..., box[0], box[1]] += answer * ramp
                weight[box] += ramp
        assert total is not None
        return (total / weight)[..., :height, :width]

    def _windows(self, side: int) -> list[tuple[int, int]]:
        """First and last pixel of each window along a side: as few as there can be, on the encoder's grid of 32 px."""
        largest, overlap = self.tile_size, self.overlap_px
        count = 1 if side <= largest else -(-(side - overlap) // (largest - overlap))
        size = largest if self.fixed else _up(-(-(side + (count - 1) * overlap) // count))
        rest = max(_up(side) - size, 0)
        starts = [rest * i // max(count - 1, 1) // SIDE_MULTIPLE * SIDE_MULTIPLE for i in range(count)]
        return [(start, start + size) for start in starts]


def check_tile_size(tile_size: Any) -> None:
    """Raises ValueError unless the network takes tiles of this side, in pixels."""
    if not isinstance(tile_size, int | np.integer) or tile_size <= 0 or tile_size % SIDE_MULTIPLE:
        raise ValueError(f"Expected a tile_size that is a whole multiple of {SIDE_MULTIPLE}, got {tile_size}.")


def mirror_to(images: Images, height: int, width: int) -> Images:
    """Extends `(B, C, H, W)` to the right and below by mirroring, and by repeating where one pixel is all there is."""
    while images.shape[-2:] != (height, width):
        old_height, old_width = images.shape[-2:]
        below, right = min(height - old_height, old_height - 1), min(width - old_width, old_width - 1)
        if below or right:
            images = padded(images, 0, right, 0, below, "reflect")
        else:  # a single row or column has no mirror image
            images = padded(images, 0, width - old_width, 0, height - old_height, "replicate")
    return images


def _up(side: int) -> int:
    """The next multiple of 32."""
    return -(-side // SIDE_MULTIPLE) * SIDE_MULTIPLE


def _through(network: Callable[..., Any], windows: Images, *args: Any, **kwargs: Any) -> Images:
    """What a network says of windows `(B, C, H, W)`.

    On a CPU several at a time gain nothing: the caches hold one, and tensors of four are so large that the C library
    fetches memory from the system and gives it back for each, a tenth of the time.
    """
    if len(windows) > 1 and is_tensor_of_cpu(windows):
        return joined([network(windows[i : i + 1], *args, **kwargs) for i in range(len(windows))], 0)
    answers: Images = network(windows, *args, **kwargs)
    return answers


def _ramp(window: tuple[int, int], overlap: int, like: Images) -> Images:
    """Weights along a window: rising over the overlap, level between, falling over the overlap."""
    middle = (window[1] - window[0] - 1) / 2
    distance = middle - abs(counted(window[1] - window[0], like) - middle) + 1
    return (distance / (overlap + 1)).clip(max=1)


def _batches(boxes: list[Any], size: int) -> Iterator[list[Any]]:
    return (boxes[start : start + size] for start in range(0, len(boxes), size))
