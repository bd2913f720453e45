"""Co-Seg: one image encoder, two decodings, each task prompting the other (paper, figure 2a)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import deepcopy
from os import PathLike
from traceback import walk_stack
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coseg_bundle.classes import UNLABELLED
from coseg_bundle.networks.checkpoints import load_sam2_weights
from coseg_bundle.networks.export.torchscript import TracedNetwork
from coseg_bundle.networks.image_encoder import HieraImageEncoder, ImageEmbeddings
from coseg_bundle.networks.mp_decoder import MPDecoder
from coseg_bundle.networks.rp_encoder import RPEncoder
from coseg_bundle.networks.weights_file import ABOUT, TWO_SCALES, CheckpointError

Prompting = Literal["crossed", "own", "none"]
Paradigm = Literal["joint", "separate"]


CERTAIN = 6.0
"""Logit of a pixel that somebody vouches for: a probability of 0.9975, about as sure as a trained network gets."""


class TaskEmbeddings(NamedTuple):
    """The image as each task's decoder takes it (`MaskHead.prepared`)."""

    tissue: ImageEmbeddings
    nuclei: ImageEmbeddings


class TaskLogits(NamedTuple):
    """What one decoding says, at the decoder's resolution or, `enlarged`, at that of the image.

    Attributes:
        tissue: `(B, C_t, h, w)`.
        nuclei: Nuclei logit first, then (in the second decoding) hv map and type logits, `(B, 1 or more, h, w)`.
    """

    tissue: Tensor
    nuclei: Tensor


class Prompts(NamedTuple):
    """Dense prompts by the decoder that they go to, `(B, C, H/16, W/16)`; None for an unprompted decoder."""

    tissue: Tensor | None
    nuclei: Tensor | None


class CoSeg(nn.Module):
    """The Co-Seg network.

    `paradigm`, `rp_encoder` and `prompting` span the paper's Table 4: the baseline is `separate` without RP-Encoder,
    + P is `separate` with `own` prompts, + P + D is `separate` with `crossed` prompts, + P + D + C is the default.

    Args:
        image_encoder: Shared encoder; in the separate paradigm the nuclei task gets a copy of its own.
        mp_decoder: The two heads.
        rp_encoder: Makes prompts of the first decoding's logits; None leaves the second decoding out.
        prompting: `crossed`: each task is prompted by the other one (the paper); `own`: by itself; `none`: one
            decoding only.
        paradigm: `joint`: one encoder for both tasks, gradients flow through the prompts of both; `separate`: an
            encoder for each task and no gradient from one task into the other (the paper's figure 1a).
        weights: A SAM 2 or 2.1 checkpoint to start from (see `load_sam2_weights`), or None.
        two_scales: Whether it is trained on resolutions so far apart that inference may look at tissue at half the
            resolution too (`inferers.two_scales`). It stands among the weights, as a buffer.

    Raises:
        ValueError: Prompts are wanted without an RP-Encoder, or an option is unknown.
    """

    two_scales: Tensor

    def __init__(
        self,
        image_encoder: HieraImageEncoder,
        mp_decoder: MPDecoder,
        rp_encoder: RPEncoder | None = None,
        prompting: Prompting = "crossed",
        paradigm: Paradigm = "joint",
        weights: str | PathLike[str] | None = None,
        two_scales: bool = False,
    ) -> None:
        super().__init__()
        if prompting not in ("crossed", "own", "none") or paradigm not in ("joint", "separate"):
            raise ValueError(
                "Expected prompting crossed, own or none and paradigm joint or separate, "
                f"got prompting {prompting!r} and paradigm {paradigm!r}."
            )
        if (rp_encoder is None) != (prompting == "none"):
            raise ValueError(
                f"prompting {prompting!r} and {'no ' if rp_encoder is None else 'an '}rp_encoder do not fit: give an "
                "rp_encoder for crossed or own prompts, and none with prompting none."
            )
        self.image_encoder = image_encoder
        self.nuclei_image_encoder = deepcopy(image_encoder) if paradigm == "separate" else None
        self.rp_encoder = rp_encoder
        self.mp_decoder = mp_decoder
        self.prompting = prompting
        self.layout = mp_decoder.layout
        self.register_buffer("two_scales", torch.tensor(two_scales))
        if self.layout.disagreement and rp_encoder is None:
            raise ValueError("Without a second decoding there is no disagreement: set disagreement to false in layout.")
        self.register_load_state_dict_pre_hook(_without_about)
        self.register_load_state_dict_pre_hook(_not_in_part)
        if weights is not None:
            load_sam2_weights(self, weights)

    def __prepare_scriptable__(self) -> nn.Module:
        """What `torch.jit.script` and `monai.bundle ckpt_export` take instead: SAM 2's modules can only be traced."""
        return TracedNetwork(self)

    def forward(
        self, image: Tensor, return_prior: bool = False, said: Mapping[str, Tensor] | None = None
    ) -> Tensor | tuple[Tensor, Tensor | None]:
        """Segments images.

        Args:
            image: RGB `(B, 3, H, W)`, float in [0, 1], sides multiples of 32.
            return_prior: Whether to return the logits of the first decoding too, for the loss.
            said: What somebody knows, in place of the prior: `tissue` class ids, `nuclei` 0 or 1, `(B, 1, H, W)` each,
                255 where they say nothing. It goes to the RP-Encoder only.

        Returns:
            `pred` `(B, layout.channels, H, W)`, see `HeadLayout`; with `return_prior` the pair of `pred` and the
            prior logits `(B, C_t + 1, H, W)` (tissue, then nuclei), which are None where nothing is prompted.
        """
        size = (image.shape[-2], image.shape[-1])
        embeddings = self.encode(image)
        if self.rp_encoder is None:
            pred = enlarged(torch.cat(self.decode(embeddings, Prompts(None, None)), dim=1), size)
            return (pred, None) if return_prior else pred
        first = self.decode(embeddings, Prompts(None, None), nuclei_channels=1)
        prior = TaskLogits(*(enlarged(logits, size) for logits in first))
        told = prior
        for task, known in (said or {}).items():
            told = told._replace(**{task: overruled(getattr(told, task), known)})
        final = self.decode(embeddings, self.prompt(told, embeddings))
        pred = self.answer(first, final, size)
        return (pred, torch.cat(prior, dim=1)) if return_prior else pred

    def encode(self, image: Tensor) -> TaskEmbeddings:
        """Encodes images `(B, 3, H, W)` in [0, 1], once for each encoder that the network has."""
        tissue = self.image_encoder(image)
        nuclei = tissue if self.nuclei_image_encoder is None else self.nuclei_image_encoder(image)
        return TaskEmbeddings(self.mp_decoder.tissue.prepared(tissue), self.mp_decoder.nuclei.prepared(nuclei))

    def prompt(self, logits: TaskLogits, embeddings: TaskEmbeddings) -> Prompts:
        """Turns both tasks' logits into prompts and sends each to its decoder.

        Args:
            logits: Tissue `(B, C_t, H, W)` and nuclei `(B, 1, H, W)`: the prior, or an annotator's own.
            embeddings: The encoded image.

        Returns:
            With `crossed` prompting the tissue decoder gets what the nuclei said, and the other way round.
        """
        return Prompts(*(self._prompt_of(task, logits, embeddings) for task in Prompts._fields))

    def _prompt_of(self, task: str, logits: TaskLogits, embeddings: TaskEmbeddings) -> Tensor:
        """The prompt of a task's decoder, made of what `_prompted_by` says."""
        source = self._prompted_by(task)
        said: Tensor = getattr(logits, source)
        if self.nuclei_image_encoder is not None and source != task:
            said = said.detach()  # separate networks: no gradient crosses
        prompt: Tensor = getattr(self.rp_encoder, f"from_{source}")(said, getattr(embeddings, task).embeddings)
        return prompt

    def _prompted_by(self, task: str) -> str:
        other = {"tissue": "nuclei", "nuclei": "tissue"}
        return other[task] if self.prompting == "crossed" else task

    def decode(self, embeddings: TaskEmbeddings, prompts: Prompts, nuclei_channels: int | None = None) -> TaskLogits:
        """Decodes both tasks, at the decoder's resolution, float32.

        Args:
            embeddings: The encoded image.
            prompts: Dense prompts, or None for each decoder that has none.
            nuclei_channels: Nuclei channels to return, from the first; all when not given. The prior needs no more than
                the nuclei logit.
        """
        tissue, nuclei, positions = self.mp_decoder.tissue, self.mp_decoder.nuclei, self.mp_decoder.positions
        return TaskLogits(
            tissue(embeddings.tissue, prompts.tissue, positions).float(),
            nuclei(embeddings.nuclei, prompts.nuclei, positions, nuclei_channels).float(),
        )

    def answer(self, first: TaskLogits, final: TaskLogits, size: tuple[int, int]) -> Tensor:
        """`pred` `(B, layout.channels, H, W)` of two decodings, for an image of `size` = (H, W)."""
        parts = [*final, disagreement(first, final)] if self.layout.disagreement else final
        return enlarged(torch.cat(parts, dim=1), size)  # once for all channels

    def tissue_alone(self, image: Tensor) -> Tensor:
        """The tissue logits `(B, C_t, H, W)` that `forward` gives, without what they do not depend on.

        Args:
            image: As for `forward`.
        """
        size = (image.shape[-2], image.shape[-1])
        embeddings = self.encode(image)
        positions = self.mp_decoder.positions
        prompt = None
        if self.rp_encoder is not None:
            source = self._prompted_by("tissue")
            masks = 1 if source == "nuclei" else None
            prior = getattr(self.mp_decoder, source)(getattr(embeddings, source), None, positions, masks)
            prior = enlarged(prior, size)
            prompt = self._prompt_of("tissue", TaskLogits(prior, prior), embeddings)
        return enlarged(self.mp_decoder.tissue(embeddings.tissue, prompt, positions), size)


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits `(B, C, h, w)` at the resolution of an image of `size` = (H, W), float32."""
    return F.interpolate(logits.float(), size, mode="bilinear")


def overruled(logits: Tensor, known: Tensor) -> Tensor:
    """Logits `(B, C, H, W)` that are certain wherever `known` `(B, 1, H, W)` is not 255.

    With one channel `known` is 0 or 1, otherwise the class id.
    """
    return torch.where(known != UNLABELLED, certain(known, logits.shape[1]).to(logits.dtype), logits)


def certain(known: Tensor, channels: int) -> Tensor:
    """Logits `(B, channels, H, W)` of what is known `(B, 1, H, W)`: class ids, or 0 and 1 with one channel."""
    if channels == 1:
        return CERTAIN * (2.0 * known - 1.0)
    classes = torch.arange(channels, device=known.device).view(1, -1, 1, 1)
    return torch.where(known == classes, CERTAIN / 2, -CERTAIN / 2)


def disagreement(prior: TaskLogits, final: TaskLogits) -> Tensor:
    """How far the second decoding moved from the first: total variation distance of the class probabilities.

    Returns:
        `(B, 2, H, W)` in [0, 1], without gradient: tissue, then nuclei.
    """
    with torch.no_grad():
        return torch.cat(
            [_distance(final.tissue, prior.tissue), _distance(final.nuclei[:, :1], prior.nuclei[:, :1])], 1
        )


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Total variation distance `(B, 1, H, W)` of what two logits `(B, C, H, W)` say; one channel is yes or no."""
    if a.shape[1] > 2:
        return (a.softmax(1) - b.softmax(1)).abs().sum(1, keepdim=True) / 2
    if a.shape[1] == 2:  # yes or no as well: half the exponentials
        a, b = a[:, 1:] - a[:, :1], b[:, 1:] - b[:, :1]
    return (a.sigmoid() - b.sigmoid()).abs()


def _without_about(network: nn.Module, state_dict: dict[str, Tensor], *_: object) -> None:
    """A weights file says what it is (`about`): who loads it as it lies there, as MONAI does, takes its tensors."""
    state_dict.pop(ABOUT, None)


def _not_in_part(network: nn.Module, state_dict: Mapping[str, Tensor], prefix: str, *_: object) -> None:
    """Refuses weights of another network that MONAI's bundle functions copy as far as they fit: the rest is random.

    They hand over a state that keeps some of the network's own values. Whoever makes such a state himself means it.
    """
    if not _copied_by_bundle():
        return
    ours = {f"{prefix}{name}": value for name, value in network.state_dict().items() if name != TWO_SCALES}
    ours = {name: value for name, value in ours.items() if name in state_dict and value.data_ptr()}
    kept = [name for name, value in ours.items() if state_dict[name].data_ptr() == value.data_ptr()]
    if 0 < len(kept) < len(ours):
        raise CheckpointError(
            f"The weights belong to another network: they have nothing for {len(kept)} of this one's {len(ours)} "
            f"parameters (for example {kept[0]}); build the network that they say (monai.bundle.load: "
            'workflow_type="inference").'
        )


def _copied_by_bundle() -> bool:
    """Whether a function of `monai.bundle` has weights copied into a network."""
    copying = (frame for frame, _ in walk_stack(inspect.currentframe()) if frame.f_code.co_name == "copy_model_state")
    caller = frame.f_back if (frame := next(copying, None)) else None
    return caller is not None and caller.f_globals.get("__name__") == "monai.bundle.scripts"
