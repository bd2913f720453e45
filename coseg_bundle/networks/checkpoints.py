"""Weights in and out: SAM 2's checkpoints, our own, and the merged half-precision file that is released."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from coseg_bundle.networks.peft import has_lora, merge_lora
from coseg_bundle.networks.weights_file import ABOUT, TWO_SCALES, CheckpointError, check_parts

logger = logging.getLogger(__name__)

_SAM2_HEAD = {
    r"transformer\.(.*)": r"transformer.\1",
    r"output_upscaling\.0\.(.*)": r"upscalings.0.\1",
    r"output_upscaling\.1\.(.*)": r"norms.0.\1",
    r"output_upscaling\.3\.(.*)": r"upscalings.1.\1",
    r"conv_s1\.(.*)": r"skips.0.\1",
    r"conv_s0\.(.*)": r"skips.1.\1",
}
"""SAM 2's names inside `sam_mask_decoder` and ours inside a `MaskHead`."""

_SAM2_POSITIONS = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"


@dataclass(frozen=True)
class LoadReport:
    """What a checkpoint gave.

    Attributes:
        loaded: Parameters of ours that were filled.
        fresh: Parameters of ours that the checkpoint has no counterpart for (LoRA, adapters, fine detail, RP-Encoder,
            queries).
        unused: Names in the checkpoint that we have no use for (SAM 2's memory, object scores).
    """

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        return f"{len(self.loaded)} loaded, {len(self.fresh)} fresh, {len(self.unused)} unused"


def read_state_dict(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Reads a weights file without unpickling code (`weights_only=True`).

    SAM 2's files hold the weights under `model`, our training checkpoints under `network`, released files hold the
    state itself.

    Raises:
        CheckpointError: The file is missing, or is not a weights file.
    """
    return read_weights(path)[0]


def loaded(path: str | PathLike[str]) -> Any:
    """What `torch.save` wrote, on the CPU, its parts compared with their sums; no code is unpickled.

    Raises whatever a damaged file makes of PyTorch's unpickler.
    """
    check_parts(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _read(path: str | PathLike[str]) -> dict[str, Tensor]:
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"Weights not found: {path} does not exist; `coseg doctor` lists what is there.")
    try:
        content: Any = loaded(path)
    except Exception as error:  # the unpickler raises whatever a damaged file makes of it
        reason = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]  # PyTorch goes on at length
        raise CheckpointError(
            f"{path} is not a readable weights file ({reason}); expected a file written by "
            "torch.save that holds tensors only; download or train it again."
        ) from error
    for key in ("model", "network"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path} holds no network weights; expected a dictionary of tensors.")
    for name, value in content.items():
        if fault := _fault(name, value):
            raise CheckpointError(f"{path} holds no usable weights: {fault}; download or train them again.")
    return content


def _fault(name: object, value: Tensor) -> str | None:
    """What is wrong with a parameter, or None."""
    if not isinstance(name, str):
        return f"expected names of parameters, got {name!r}"
    kind = str(value.layout).removeprefix("torch.") if value.layout != torch.strided else value.device.type
    if kind != "cpu" or value.is_quantized or value.is_complex() or value.is_nested:
        return f"{name} is {'no plain tensor' if kind == 'cpu' else kind}, expected a plain tensor with its values"
    if value.is_floating_point() and not bool(torch.isfinite(value.float()).all()):
        return f"{name} has values that are not finite"
    return None


def read_weights(path: str | PathLike[str]) -> tuple[dict[str, Tensor], Tensor | None]:
    """Reads a weights file, and what it says of itself (see `about`); None where it says nothing.

    Raises:
        CheckpointError: As `read_state_dict`.
    """
    state = _read(path)
    return state, state.pop(ABOUT, None)


def load_weights(network: nn.Module, path: str | PathLike[str]) -> None:
    """Loads weights of our own, all or nothing; a state with LoRA is merged if the network has none.

    Args:
        network: A `CoSeg` network.
        path: A released file or a training checkpoint.

    Raises:
        CheckpointError: Names or shapes differ: the file belongs to another configuration.
    """
    state = read_state_dict(path)
    ours = network.state_dict()
    if TWO_SCALES in ours:
        state.setdefault(TWO_SCALES, torch.tensor(False))  # files from before weights said it
    if has_lora(state) and not has_lora(ours):
        state = merge_lora(state)
    missing, unexpected = sorted(ours.keys() - state.keys()), sorted(state.keys() - ours.keys())
    differing = [name for name in ours.keys() & state.keys() if not _alike(ours[name], state[name])]
    if missing or unexpected or differing:
        example = (differing or missing or unexpected)[0]
        raise CheckpointError(
            f"{path} belongs to another network: {len(missing)} parameters are missing, {len(unexpected)} are unknown "
            f"and {len(differing)} have another shape (for example {example}); set variant, class counts, lora_rank, "
            "adapter_ratio, detail_depth and subpixel in the configuration to those the file was trained with."
        )
    network.load_state_dict({name: value.to(ours[name].dtype) for name, value in state.items()})


def load_sam2_weights(network: nn.Module, path: str | PathLike[str]) -> LoadReport:
    """Starts a network from a SAM 2 or SAM 2.1 checkpoint.

    Trunk and neck load completely or not at all. Two-way transformer, upscaling and high-resolution convolutions of
    SAM 2's mask decoder start both heads, and its position frequencies ours.

    Args:
        network: A network whose encoder is one of SAM 2's variants.
        path: One of the released `sam2_hiera_*.pt` or `sam2.1_hiera_*.pt` files.

    Returns:
        What matched; also logged.

    Raises:
        CheckpointError: No SAM 2 checkpoint, or one of another variant.
    """
    state = read_state_dict(path)
    if not any(name.startswith("image_encoder.trunk.") for name in state):
        raise CheckpointError(
            f"{path} is not a SAM 2 checkpoint: no parameter starts with image_encoder.trunk; expected "
            "sam2.1_hiera_{tiny,small,base_plus,large}.pt; to continue from a Co-Seg file, use the checkpoint loader."
        )
    ours, variant = network.state_dict(), cast(Any, network).image_encoder.variant
    plain = {without_peft(name): name for name in ours}
    filled: dict[str, Tensor] = {}
    unused = []
    for name, value in state.items():
        targets = [plain[target] for target in _our_names(name) if target in plain]
        for target in targets:
            if ours[target].shape != value.shape:
                raise CheckpointError(
                    f"{path} is a checkpoint of another variant: {name} has shape {tuple(value.shape)}, and variant "
                    f"{variant!r} needs {tuple(ours[target].shape)}; set image_encoder's variant "
                    "to that of the file."
                )
            filled[target] = value
        if not targets:
            unused.append(name)
    encoder = [n for n in ours if ".trunk." in n or ".neck." in n]
    absent = [name for name in encoder if name not in filled and not starts_neutral(name)]
    stray = [name for name in unused if name.startswith("image_encoder.")]
    if absent or stray:
        raise CheckpointError(
            f"{path} does not fit variant {variant!r}: {len(absent)} encoder parameters are "
            f"missing in it and {len(stray)} are too many (for example {(absent + stray)[0]}); set image_encoder's "
            "variant to that of the file."
        )
    network.load_state_dict(filled, strict=False)
    report = LoadReport(tuple(filled), tuple(name for name in ours if name not in filled), tuple(unused))
    logger.info("SAM 2 weights from %s: %s", path, report)
    return report


def save_released(network: nn.Module, path: str | PathLike[str], about: Tensor | None = None) -> None:
    """Writes a network as it is released: LoRA merged away, half precision, tensors only.

    Args:
        network: The network.
        path: File to write.
        about: What the file is to say of itself, as `About.to_tensor` gives it.
    """
    state = merge_lora({name: value.detach().cpu() for name, value in network.state_dict().items()})
    content = {name: v.half() if v.is_floating_point() else v for name, v in state.items()}
    torch.save(content if about is None else {**content, ABOUT: about}, path)


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    """Whether a value can stand for a parameter: the same shape, and fractions where there must be some."""
    return ours.shape == theirs.shape and ours.is_floating_point() == theirs.is_floating_point()


def _our_names(sam2_name: str) -> list[str]:
    """Our names for a parameter of SAM 2, LoRA and adapters aside."""
    if sam2_name.startswith("image_encoder."):
        return [sam2_name, f"nuclei_{sam2_name}"]
    if sam2_name == _SAM2_POSITIONS:
        return ["mp_decoder.positions.positional_encoding_gaussian_matrix"]
    stem, _, rest = sam2_name.partition(".")
    if stem == "sam_mask_decoder":
        for pattern, ours in _SAM2_HEAD.items():
            if re.fullmatch(pattern, rest):
                name = re.sub(pattern, ours, rest)
                return [f"mp_decoder.{head}.{name}" for head in ("tissue", "nuclei")]
    return []


def without_peft(name: str) -> str:
    """The name that a parameter has without LoRA and adapters."""
    return name.replace(".base_layer.", ".").replace(".mlp.mlp.", ".mlp.")


def starts_neutral(name: str) -> bool:
    """Whether a parameter belongs to LoRA, an adapter or the fine detail: fresh ones change no answer."""
    return re.search(r"\.lora_|\.mlp\.(down|up)\.|image_encoder\.detail\.", name) is not None
