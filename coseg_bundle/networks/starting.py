"""Starts a training from weights of ours, also of other classes: whatever fits is taken over."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from os import PathLike
from typing import Any, cast

import torch
from torch import Tensor, nn

from coseg_bundle.classes import places_of
from coseg_bundle.networks.about import About
from coseg_bundle.networks.checkpoints import LoadReport, read_weights, starts_neutral, without_peft
from coseg_bundle.networks.peft import merge_lora
from coseg_bundle.networks.weights_file import STRIDE, TWO_SCALES, CheckpointError

logger = logging.getLogger(__name__)

_TISSUE, _NUCLEI = "mp_decoder.tissue.", "mp_decoder.nuclei."
_TISSUE_PROMPT = "rp_encoder.from_tissue.conv_1.weight"  # (mask channels, C_t, 16, 16)
_OWN = TWO_SCALES, STRIDE  # of the network, whatever a file was trained with
_MASK, _FIRST_TYPE = 0, 3  # channels of the nuclei head: mask, hv map x and y, background, types

Names = Sequence[str] | None
State = dict[str, Tensor]


def start_from(
    network: nn.Module,
    path: str | PathLike[str],
    encoder_only: bool = False,
    tissue_classes: Names = None,
    nuclei_classes: Names = None,
    same_classes: bool = False,
    mpp: float | None = None,
) -> LoadReport:
    """Starts a training from weights of our own, where `load_weights` wants the very same network.

    The network may have LoRA and adapters, fine detail, two encoders (each starts from the file's one), or sub-pixels
    where the file has none: those start with the answer of the pixel that they are part of. Whether two scales suit the
    weights is up to this training, not to the one before.

    It may have other classes, too. Classes are the same where their names are (`places_of`); by position where the file
    or the caller names none and the counts agree. A new tissue class starts as the file's first one. A new nuclei class
    starts as the nuclei mask, and without types in the file their background as its opposite: at first every nucleus is
    of all new classes alike.

    Args:
        network: The network to train.
        path: A released file or a training checkpoint.
        encoder_only: Whether prompt encoder and decoder stay fresh.
        tissue_classes: Tissue class names of the network.
        nuclei_classes: Its nuclei class names, background first.
        same_classes: Whether other class counts are refused.
        mpp: Microns per pixel that the network is trained at; a warning says that the file has another resolution.

    Returns:
        What matched; also logged.

    Raises:
        CheckpointError: A part that the network needs is missing in the file, or has another shape.
    """
    content, said = read_weights(path)
    about = None if said is None else About.from_tensor(said, path)
    of_file = (None, None) if about is None else (about.tissue_classes, about.nuclei_classes)
    state = {without_peft(name): value for name, value in merge_lora(content).items()}
    new: list[str] = []
    has_heads = f"{_TISSUE}queries.weight" in state and f"{_NUCLEI}queries.weight" in state
    if has_heads and not encoder_only and not same_classes:
        new += _fit_tissue(state, network, of_file[0], tissue_classes)
        new += _fit_types(state, network, of_file[1], nuclei_classes)
    report = _load(network, state, path, encoder_only)
    logger.info("Started from %s: %s", path, "; ".join([str(report), *new]))
    if about is not None and not about.works_at(mpp):
        logger.warning(
            "%s works at %g um per pixel, and this training at %g: how large things are is learnt anew, and a task "
            "without labels is untrained; mpp=%g trains at the resolution of the weights.",
            path,
            about.mpp,
            mpp,
            about.mpp,
        )
    return report


def known_tasks(
    path: str | PathLike[str],
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
    mpp: float | None = None,
) -> list[str]:
    """The tasks that weights know all classes of: `tissue`, `nuclei`, `types`; none at another resolution than theirs.

    Args:
        path: A file that `start_from` takes.
        tissue_classes: Tissue class names of the network that starts from it.
        nuclei_classes: Its nuclei class names, background first.
        mpp: Microns per pixel that it is trained at.

    Raises:
        CheckpointError: The file cannot be read.
    """
    state, said = read_weights(path)
    about = None if said is None else About.from_tensor(said, path)
    if f"{_TISSUE}queries.weight" not in state or f"{_NUCLEI}queries.weight" not in state:
        return []
    if about is not None and not about.works_at(mpp):
        return []
    of_file = (None, None) if about is None else (about.tissue_classes, about.nuclei_classes)
    types = max(len(state[f"{_NUCLEI}queries.weight"]) - _FIRST_TYPE, 0)
    sources: dict[str, Sequence[int | None]] = {
        "nuclei": [0],
        "tissue": _sources(of_file[0], tissue_classes, len(state[f"{_TISSUE}queries.weight"]), len(tissue_classes)),
        "types": _sources(of_file[1], nuclei_classes, types, len(nuclei_classes)) if types else [None],
    }
    untrained = () if about is None else about.untrained
    return [task for task, channels in sources.items() if None not in channels and task not in untrained]


def _load(network: nn.Module, state: State, path: str | PathLike[str], encoder_only: bool) -> LoadReport:
    """Fills the network with a state that has its class channels, all or nothing."""
    filled: State = {}
    fresh, amiss, used = [], [], set()
    state = {name: value for name, value in state.items() if name not in _OWN}
    state |= {name: value.clone() for name, value in network.state_dict().items() if name in _OWN}
    for name, ours in network.state_dict().items():
        plain = without_peft(name)
        source = plain if plain in state else plain.removeprefix("nuclei_")
        if (source not in state and starts_neutral(name)) or (encoder_only and "image_encoder." not in name):
            fresh.append(name)
            continue
        value = _with_subpixels(source, state[source], ours, network) if source in state else None
        if value is None or value.shape != ours.shape:
            amiss.append(name)
            continue
        filled[name] = value.to(ours.dtype)
        used.add(source)
    unused = sorted(state.keys() - used)
    amiss += [name for name in unused if name.startswith("image_encoder.")]
    if amiss:
        raise CheckpointError(
            f"{path} cannot start this network: {len(amiss)} parameters are missing, have another shape or no place "
            f"(for example {amiss[0]}); set variant, adapter_ratio, detail_depth and subpixel in the "
            "configuration to those of the file."
        )
    network.load_state_dict(filled, strict=False)
    return LoadReport(tuple(filled), tuple(fresh), tuple(unused))


def _fit_tissue(state: State, network: nn.Module, theirs: Names, ours: Names) -> list[str]:
    """Gives a state the tissue channels of the network; a sentence if some are new."""
    count = cast(Any, network).layout.tissue_classes
    there = len(state[f"{_TISSUE}queries.weight"])
    sources = _sources(theirs, ours, there, count)
    new = [channel for channel, source in enumerate(sources) if source is None]
    if _TISSUE_PROMPT in state:
        weight = state[_TISSUE_PROMPT]  # what starts as the first class shares its weights, or has none beside it
        share = torch.zeros_like(weight[:, 0]) if 0 in sources else weight[:, 0] / max(len(new), 1)
        columns = [share if source is None else weight[:, source] for source in sources]
        state[_TISSUE_PROMPT] = torch.stack(columns, dim=1)
    _arrange(state, _TISSUE, [source or 0 for source in sources])
    start = theirs[0] if theirs and len(theirs) == there else "the file's first class"
    return [f"tissue classes {_listed(new, ours)} are new and start as {start}"] if new else []


def _fit_types(state: State, network: nn.Module, theirs: Names, ours: Names) -> list[str]:
    """Gives a state the type channels of the network, background first; a sentence if some are new."""
    types = cast(Any, network).layout.nuclei_types
    before = max(len(state[f"{_NUCLEI}queries.weight"]) - _FIRST_TYPE, 0)  # with the background
    sources = _sources(theirs, ours, before, types + 1) if types else []
    if sources and before:
        sources[0] = 0  # background is background
    new = [channel for channel, source in enumerate(sources) if source is None]
    channels = [_MASK if source is None else _FIRST_TYPE + source for source in sources]
    _arrange(state, _NUCLEI, [*range(_FIRST_TYPE), *channels])
    if 0 in new:
        for kind in ("weight", "bias"):
            state[f"{_NUCLEI}hypernetworks.{_FIRST_TYPE}.layers.2.{kind}"].neg_()
    named = [channel for channel in new if channel]
    return [f"nuclei classes {_listed(named, ours)} are new and start as the nuclei mask"] if named else []


def _sources(theirs: Names, ours: Names, before: int, now: int) -> list[int | None]:
    """The file's channel for each of the network's; None for a new one."""
    if theirs and ours and (len(theirs), len(ours)) == (before, now):
        return places_of(ours, theirs)
    return list(range(now)) if before == now else [None] * now


def _arrange(state: State, head: str, channels: Sequence[int]) -> None:
    """Makes the state of a head whose channels are copies of its former ones, by number."""
    state[f"{head}queries.weight"] = state[f"{head}queries.weight"][list(channels)].clone()
    prefix = f"{head}hypernetworks."
    former = {name: state.pop(name) for name in list(state) if name.startswith(prefix)}
    for name, value in former.items():
        number, _, rest = name.removeprefix(prefix).partition(".")
        for channel in (now for now, source in enumerate(channels) if source == int(number)):
            state[f"{prefix}{channel}.{rest}"] = value.clone()


def _listed(channels: Sequence[int], names: Names) -> str:
    return ", ".join(names[channel] if names else str(channel) for channel in channels)


def _with_subpixels(name: str, value: Tensor, ours: Tensor, network: nn.Module) -> Tensor:
    """Weights of a hypernetwork's last layer without sub-pixels, repeated for those of the network."""
    subpixels = cast(Any, network).mp_decoder.subpixel ** 2
    if ".hypernetworks." in name and value.shape != ours.shape and value.shape[0] * subpixels == ours.shape[0]:
        return value.repeat(subpixels, *[1] * (value.ndim - 1))
    return value
