"""Networks that teach another one: what they say of an image is a target for every pixel, labelled or not."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from os import PathLike

import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from coseg_bundle.classes import places_of
from coseg_bundle.networks import About, CoSeg, start_from
from coseg_bundle.networks.about import build
from coseg_bundle.networks.checkpoints import load_weights, read_state_dict
from coseg_bundle.networks.coseg import Paradigm
from coseg_bundle.networks.head_layout import HeadLayout
from coseg_bundle.networks.peft import has_lora
from coseg_bundle.networks.weights_file import CheckpointError

_TASKS = {"tissue_logits": "tissue", "nuclei_logits": "nuclei", "hv_map": "nuclei", "type_logits": "types"}


class Teachers(nn.Module):
    """Trained networks that answer as one: the mean of their logits and hv maps.

    The mean of several networks is right more often than each, and costs as many times as much; a network that learns
    to answer alike has most of the gain at the price of one (Hinton et al. 2015, "Distilling the knowledge in a neural
    network"). It is asked about the very crop that the pupil sees, whatever was done to its size and stains (Beyer et
    al. 2022, "Knowledge distillation: a good teacher is patient and consistent"). A task is taught by those that were
    taught it.

    Args:
        pupil: The network that learns. Teachers have its sizes and paradigm; where it has prompts they may
            have none, and where it has LoRA theirs may be merged.
        weights: A file of trained weights for each teacher, which may be of another size where the file says its own.
        inferer: How each is asked: `AutocastInferer`, or `FlipInferer` for the mean over mirrored copies.
        tissue_classes: Tissue class names of the pupil. A teacher that names the same in another order answers in the
            pupil's; without names, here or in its file, classes are told by position.
        nuclei_classes: Its nuclei class names, background first.
        mpp: Microns per pixel that it works at: whoever works at another resolution would see larger or smaller things.

    Attributes:
        tasks: What is taught: tasks (`tissue`, `nuclei`, `types`) that at least one teacher was taught.

    Raises:
        ValueError: No teacher is named.
        CheckpointError: A file does not fit, names other classes or another resolution, or has prompts where the pupil
            has none.
    """

    def __init__(
        self,
        pupil: CoSeg,
        weights: Sequence[str | PathLike[str]],
        inferer: Inferer,
        tissue_classes: Sequence[str] = (),
        nuclei_classes: Sequence[str] = (),
        mpp: float | None = None,
    ) -> None:
        super().__init__()
        if not weights:
            raise ValueError("Expected the weights of at least one teacher, got an empty list; null is for none.")
        self.inferer = inferer
        layout = replace(pupil.layout, disagreement=False)
        abouts = [_about(path, mpp) for path in weights]
        self.networks = nn.ModuleList(_teacher(pupil, *of_file) for of_file in zip(weights, abouts, strict=True))
        self.sources = [
            _sources(layout, *of_file, tissue_classes, nuclei_classes) for of_file in zip(weights, abouts, strict=True)
        ]
        untrained = [_untrained(about) for about in abouts]
        known = [[_TASKS[group] not in unknown for group in layout.groups] for unknown in untrained]
        sizes = torch.tensor([*layout.groups.values()])
        share = torch.tensor(known, dtype=torch.float32).repeat_interleave(sizes, dim=1)[..., None, None]
        self.share: Tensor
        self.register_buffer("share", share / share.sum(0), persistent=False)  # (teachers, C, 1, 1); 0 / 0 is NaN
        tasks = dict.fromkeys(_TASKS[group] for group in layout.groups)
        self.tasks = tuple(task for task in tasks if any(task not in unknown for unknown in untrained))
        self.requires_grad_(False).eval().to(next(pupil.parameters()).device)

    def train(self, mode: bool = True) -> Teachers:
        """Teachers do not learn: they stay as they answer."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """What the teachers say of RGB images `(B, 3, H, W)` in [0, 1].

        Returns:
            `(B, C, H, W)`: the channels of `HeadLayout` up to the disagreement; NaN for tasks that nobody knows.
        """
        answers = [
            self.inferer(image, network)[:, sources].float() * part
            for network, sources, part in zip(self.networks, self.sources, self.share, strict=True)
        ]
        return torch.stack(answers).sum(0)


def _about(path: str | PathLike[str], mpp: float | None) -> About | None:
    """What a teacher says of itself."""
    about = About.of_file(path)
    if about is not None and not about.works_at(mpp):
        raise CheckpointError(
            f"{path} works at {about.mpp:g} um per pixel, and the network that it should teach at {mpp:g}: name "
            "teachers of the same resolution."
        )
    return about


def _untrained(about: About | None) -> set[str]:
    """The tasks that a teacher was not taught; who was not taught nuclei knows no types either."""
    unknown = set() if about is None else {*about.untrained}
    return unknown | {"types"} if "nuclei" in unknown else unknown


def _sources(
    layout: HeadLayout,
    path: str | PathLike[str],
    about: About | None,
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
) -> list[int]:
    """The teacher's channel for each of the pupil's, by the names of the classes."""
    channels = list(range(layout.channels))
    if about is None:
        return channels
    for group, kind, theirs, ours in (
        ("tissue_logits", "tissue_classes", about.tissue_classes, tissue_classes),
        ("type_logits", "nuclei_classes", about.nuclei_classes, nuclei_classes),
    ):
        if group not in layout.groups or not (theirs and ours) or _TASKS[group] in _untrained(about):
            continue
        places = [place for place in places_of(ours, theirs) if place is not None]
        if sorted(places) != list(range(len(theirs))):
            raise CheckpointError(
                f"{path} has the {kind} {', '.join(theirs)}, the network that it should teach {', '.join(ours)}: name "
                "teachers with the same classes."
            )
        start = layout.slices[group].start
        channels[layout.slices[group]] = [start + place for place in places]
    return channels


def _teacher(pupil: CoSeg, path: str | PathLike[str], about: About | None) -> CoSeg:
    """The network that the file describes; else a copy of the pupil, without prompts where the file has none."""
    if about is not None:
        network = build(about.network)
        theirs, pupils = (replace(layout, disagreement=False).groups for layout in (network.layout, pupil.layout))
        if theirs != pupils:
            raise CheckpointError(
                f"{path} has the channels {theirs}, the network that it should teach {pupils}: name teachers with the "
                "same classes."
            )
        load_weights(network, path)
        return network
    prompted = any(name.startswith("rp_encoder.") for name in read_state_dict(path))
    if prompted and pupil.rp_encoder is None:
        raise CheckpointError(
            f"{path} has prompts, and the network that it should teach has none: name teachers trained without."
        )
    if prompted or pupil.rp_encoder is None:
        network = deepcopy(pupil)
    else:
        decoder = deepcopy(pupil.mp_decoder)
        decoder.layout = replace(decoder.layout, disagreement=False)
        paradigm: Paradigm = "joint" if pupil.nuclei_image_encoder is None else "separate"
        network = CoSeg(deepcopy(pupil.image_encoder), decoder, prompting="none", paradigm=paradigm)
    if has_lora(network.state_dict()):  # a released file has it merged: then the copy's must say nothing
        for name, parameter in network.named_parameters():
            if ".lora_B." in name:
                nn.init.zeros_(parameter)
        start_from(network, path, same_classes=True)
    else:
        load_weights(network, path)
    return network
