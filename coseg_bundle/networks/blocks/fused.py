"""Linear layers and convolutions, with the GELU that follows, in one pass of oneDNN where nothing is learnt on a CPU.

PyTorch's own way writes what a layer says to memory, and a GELU reads and writes it again; in full precision a linear
layer also copies its bias over the result first, and convolutions of 1 x 1 px go another, slower way. PyTorch has the
layers that fuse this for its compiler, and they are called here without it. Wherever a gradient is wanted, a graph
is traced or a layer is another than PyTorch's (LoRA), the layers themselves are called. The difference is rounding.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coseg_bundle.precision import resolve


def linear(layer: nn.Module, x: Tensor, gelu: bool = False) -> Tensor:
    """What a linear layer says of `x` `(..., C)`, through a GELU where that is asked for."""
    dtype = _fusable(layer, nn.Linear, x, gelu)
    if dtype is None:
        return _plain(layer, x, gelu)
    arguments = (x.to(dtype), *_parameters(layer, dtype), *_after(gelu))
    fused: Tensor = torch.ops.mkldnn._linear_pointwise(*arguments)
    return fused


def convolution(layer: nn.Module, x: Tensor, gelu: bool = False) -> Tensor:
    """What a convolution says of `x` `(B, C, H, W)`, through a GELU where that is asked for."""
    dtype = _fusable(layer, nn.Conv2d, x, gelu)
    if dtype is None:
        return _plain(layer, x, gelu)
    shape = (layer.padding, layer.stride, layer.dilation, layer.groups)
    arguments = (x.to(dtype), *_parameters(layer, dtype), *shape, *_after(gelu))
    fused: Tensor = torch.ops.mkldnn._convolution_pointwise(*arguments)
    return fused


def _plain(layer: nn.Module, x: Tensor, gelu: bool) -> Tensor:
    said: Tensor = layer(x)
    return F.gelu(said) if gelu else said


def _fusable(layer: nn.Module, kind: type[nn.Module], x: Tensor, gelu: bool) -> torch.dtype | None:
    """What a layer is to compute in where oneDNN is to do it; None where the layer itself is to be called.

    In bf16 PyTorch calls oneDNN itself, so only a GELU is a gain there.
    """
    if type(layer) is not kind or not only_answers(x) or not _IS_THERE or not torch.backends.mkldnn.enabled:
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    fits = dtype == torch.float32 or (gelu and dtype == torch.bfloat16 and computes_bf16())
    return dtype if fits and x.is_floating_point() and x.numel() else None


def _parameters(layer: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    return layer.weight.to(dtype), None if layer.bias is None else layer.bias.to(dtype)


def _after(gelu: bool) -> tuple[str, list[None], str]:
    """The operation that follows, its numbers, and which GELU: the exact one."""
    return "gelu" if gelu else "none", [], "none" if gelu else ""


def only_answers(x: Tensor) -> bool:
    """Whether `x` lies on a CPU and nothing but an answer is wanted: no gradient, no trace, no compiled graph."""
    recorded = torch.is_grad_enabled() or torch.jit.is_tracing() or torch.compiler.is_compiling()
    return x.device.type == "cpu" and not recorded


@cache
def computes_bf16() -> bool:
    """Whether this processor has units for bf16, and oneDNN uses them."""
    return resolve("auto", "cpu").name == "bf16"


_IS_THERE = torch.backends.mkldnn.is_available() and all(
    hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_convolution_pointwise")
)
"""Whether this PyTorch has these layers: builds for other processors come without oneDNN."""
