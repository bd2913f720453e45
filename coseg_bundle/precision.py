"""How precisely a network computes: one rule for inference, training, the optimiser, slides and the server.

`auto` takes half precision where the device computes it natively. Emulated bf16 gives the same answers as native bf16
and takes about eight times as long as full precision (docs/decisions/precision.md).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    import torch

Name = Literal["fp32", "bf16", "fp16"]

CHOICES = ("auto", "fp32", "bf16", "fp16")
ASKED = "asked for"
"""The reason of a precision that is not `auto`'s."""

_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

_CPU_UNITS = ("amx_bf16", "avx512_bf16", "bf16")
"""Units for bf16 of x86 processors and of Arm's, by the names of PyTorch and of Linux."""

_ONEDNN_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_ISA_WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")
"""Values of these variables under which oneDNN leaves a processor's units for bf16 alone."""


@dataclass(frozen=True)
class Precision:
    """What a network computes in.

    Attributes:
        name: `fp32`, `bf16` or `fp16`.
        reason: Why, in one clause.
    """

    name: Name
    reason: str = ASKED

    @property
    def dtype(self) -> torch.dtype:
        """Of matrix products and convolutions."""
        import torch

        return cast("torch.dtype", getattr(torch, _DTYPES[self.name]))

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def resolve(
    precision: str | Precision, device: str | torch.device, *, training: bool = False, amp: object = None
) -> Precision:
    """What a device computes in.

    Args:
        precision: `auto`, `fp32`, `bf16` or `fp16`; what is resolved already stays.
        device: Where the network is.
        training: Whether it learns there. Small gradients vanish in fp16, so training does without.
        amp: Must be None: the configurations' former name for this choice.

    Raises:
        ValueError: There is no such precision, the device has not got it, or `amp` was given.
    """
    if amp is not None:
        raise ValueError(
            f"`amp` has become `precision`, got amp {amp}: leave it out (auto: half precision where the device has "
            "units for it), or give precision fp32 for the former amp false, bf16 for amp true."
        )
    if isinstance(precision, Precision):
        return precision
    kind = str(device).partition(":")[0]
    refused = "fp16" if training or kind == "cpu" else None
    choices = [choice for choice in CHOICES if choice != refused]
    if precision not in choices:
        where = f"{'training on ' if training else ''}{device}"
        raise ValueError(f"Expected precision {', '.join(choices[:-1])} or {choices[-1]} for {where}, got {precision}.")
    if precision != "auto":
        return Precision(cast(Name, precision))
    if kind == "cpu":
        return _of_cpu()
    return _of_cuda(device, training) if kind == "cuda" else Precision("fp32", f"half precision is untried on {kind}")


def _of_cpu() -> Precision:
    """bf16 where the processor has units for it and oneDNN, which multiplies matrices, uses them."""
    import torch

    found = _capabilities()
    unit = next((name for name in _CPU_UNITS if found.get(name)), None)
    if unit is None:
        return Precision("fp32", "the processor has no bf16 units" if found else "this system does not tell of units")
    if not torch.backends.mkldnn.is_available():
        return Precision("fp32", f"this PyTorch has no oneDNN to use {unit}")
    for variable in _ONEDNN_LIMITS:
        limit = os.environ.get(variable, "").upper()
        if limit in _ISA_WITHOUT_BF16:
            return Precision("fp32", f"{variable}={limit} hides {unit}")
    return Precision("bf16", unit)


def _capabilities() -> Mapping[str, Any]:
    """The processor's features: PyTorch's, Linux' where it is too old to tell; empty where neither does."""
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        return cast(Mapping[str, Any], torch.cpu.get_capabilities())
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return dict.fromkeys(flags[1].split(), True) if flags else {}


def _of_cuda(device: str | torch.device, training: bool) -> Precision:
    """bf16 since Ampere, fp16 on the two generations before, whose tensor cores know no other."""
    import torch

    if not torch.cuda.is_available():
        return Precision("fp32", "there is no GPU here to ask")
    major, minor = torch.cuda.get_device_capability(device)
    capability = f"compute capability {major}.{minor}"
    if major >= 8:
        return Precision("bf16", capability)
    if major == 7:
        return Precision("fp32", f"{capability} has no bf16 to train in") if training else Precision("fp16", capability)
    return Precision("fp32", f"{capability} has no units for half precision")
