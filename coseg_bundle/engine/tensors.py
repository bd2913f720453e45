"""What inference does with images and answers, be they NumPy's arrays or PyTorch's tensors.

Windows, mirrored copies and two scales are written once, and run without PyTorch where onnxruntime is the engine. What
is an operator or a method of both (`+`, `clip`, slices) is used as it is. Values are float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    import torch

    Images: TypeAlias = NDArray[np.float32] | torch.Tensor
    """`(B, C, H, W)`."""
else:
    Images: TypeAlias = Any


def is_tensor_of_cpu(images: Any) -> bool:
    """Whether PyTorch has these images, and on a CPU."""
    return not isinstance(images, np.ndarray) and images.device.type == "cpu"


def padded(images: Any, left: int, right: int, above: int, below: int, mode: Literal["reflect", "replicate"]) -> Any:
    """Images with so many more rows and columns: mirrored at the last one, or it again."""
    if isinstance(images, np.ndarray):
        sides = [(0, 0)] * (images.ndim - 2) + [(above, below), (left, right)]
        return np.pad(images, sides, mode="reflect" if mode == "reflect" else "edge")
    import torch.nn.functional as F

    return F.pad(images, (left, right, above, below), mode=mode)


def joined(parts: Sequence[Any], axis: int) -> Any:
    """Arrays or tensors one after the other."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis)
    import torch

    return torch.cat(list(parts), axis)


def flipped(images: Any, axes: tuple[int, ...]) -> Any:
    """Images mirrored along axes."""
    return np.flip(images, axes) if isinstance(images, np.ndarray) else images.flip(axes)


def zeros(shape: Sequence[int], like: Any) -> Any:
    """Zeros of the kind of `like`, where that is."""
    if isinstance(like, np.ndarray):
        return np.zeros(shape, np.float32)
    import torch

    return torch.zeros(*shape, device=like.device, dtype=torch.float32)


def counted(length: int, like: Any) -> Any:
    """0, 1, 2, ... of the kind of `like`, where that is."""
    if isinstance(like, np.ndarray):
        return np.arange(length, dtype=np.float32)
    import torch

    return torch.arange(length, device=like.device, dtype=torch.float32)


def moved(array: NDArray[Any], like: Any) -> Any:
    """An array as the kind of `like`, where that is."""
    if isinstance(like, np.ndarray):
        return array
    import torch

    return torch.from_numpy(array).to(like.device)


def mean_pooled(images: Any, side: int) -> Any:
    """The means of squares; rows and columns that fill no square are left out."""
    if isinstance(images, np.ndarray):
        height, width = (length // side for length in images.shape[-2:])
        squares = images[..., : height * side, : width * side].reshape(*images.shape[:-2], height, side, width, side)
        return squares.mean((-3, -1), dtype=np.float32)
    import torch.nn.functional as F

    return F.avg_pool2d(images, side)


def doubled(images: Any) -> Any:
    """Images at twice the resolution, linear between the pixels' centres, in float32.

    Example:
        >>> doubled(np.array([[[[0.0, 4.0]]]], np.float32))[0, 0, 0]
        array([0., 1., 3., 4.], dtype=float32)
    """
    if isinstance(images, np.ndarray):
        return _doubled(_doubled(images, -2), -1)
    import torch.nn.functional as F

    return F.interpolate(images.float(), scale_factor=2.0, mode="bilinear")


def _doubled(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """A pixel of the finer grid lies a quarter of a pixel beside a centre of the coarser one."""
    values = np.moveaxis(values, axis, -1)
    before = np.concatenate([values[..., :1], values[..., :-1]], axis=-1)
    after = np.concatenate([values[..., 1:], values[..., -1:]], axis=-1)
    fine = np.stack([0.75 * values + 0.25 * before, 0.75 * values + 0.25 * after], axis=-1)
    return np.moveaxis(fine.reshape(*values.shape[:-1], -1).astype(np.float32, copy=False), -1, axis)


def floored(values: Any) -> Any:
    """The next lower whole numbers."""
    return np.floor(values) if isinstance(values, np.ndarray) else values.floor()


def all_finite(values: Any) -> bool:
    """Whether no value is infinite or none."""
    if isinstance(values, np.ndarray):
        return bool(np.isfinite(values).all())
    import torch

    return bool(torch.isfinite(values).all())


def to_numpy(values: Any, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Values as an array; they become small, where they are to, before they travel."""
    if isinstance(values, np.ndarray):
        return values.astype(dtype, copy=False)
    import torch

    name = np.dtype(dtype).name
    return np.asarray(values.detach().to(getattr(torch, name)).cpu().numpy())
