"""What a weights file says of itself: its classes, its resolution, the network that it belongs to.

It stands among the weights, as bytes of JSON in a tensor, so that the file stays a plain dictionary of tensors, which
`torch.load(weights_only=True)` and `monai.bundle.load` read as before.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from coseg_bundle import __version__
from coseg_bundle.engine.choice import is_installed
from coseg_bundle.networks.blocks.variants import VARIANTS
from coseg_bundle.networks.head_layout import HeadLayout
from coseg_bundle.networks.weights_file import ABOUT, STRIDE, CheckpointError, read_arrays
from coseg_bundle.settings.values import SAME_SCALE

if TYPE_CHECKING:
    from torch import Tensor

    from coseg_bundle.networks.coseg import CoSeg


@dataclass(frozen=True)
class About:
    """What a weights file says of itself.

    Attributes:
        tissue_classes: Tissue class names; a class id is its position.
        nuclei_classes: Nuclei class names, background first.
        mpp: Microns per pixel that the network works at.
        network: Arguments of the network's parts, as `describe` gives them.
        tile_size: Side of the largest crops that it was trained on, px; None where nobody said.
        untrained: Tasks (`tissue`, `nuclei`, `types`) that had no labels: what the network says of them means nothing.
        training: Settings that made it, plain values by their names in `configs/train.yaml`, for the record.
        version: Of this package, when the file was written.
    """

    tissue_classes: tuple[str, ...]
    nuclei_classes: tuple[str, ...]
    mpp: float
    network: dict[str, Any]
    tile_size: int | None = None
    untrained: tuple[str, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    version: str = __version__

    @property
    def min_tissue_area_px(self) -> int:
        """Smaller tissue regions take the class around them: what the training validated with, px of the network."""
        return int(self.training.get("min_tissue_area_px", 2000))

    def works_at(self, mpp: float | None) -> bool:
        """Whether the network works at a resolution, microns per pixel; at one that nobody says, too."""
        return mpp is None or abs(self.mpp / mpp - 1) <= SAME_SCALE

    def to_json(self) -> str:
        """All of it as JSON."""
        return json.dumps(asdict(self))

    def to_tensor(self) -> Tensor:
        """The bytes of the JSON text, uint8."""
        import torch

        return torch.frombuffer(bytearray(self.to_json().encode()), dtype=torch.uint8)

    @classmethod
    def of(cls, network: CoSeg, **said: Any) -> About:
        """What there is to say of a network: what it is, and what the caller says.

        Args:
            network: The network.
            said: The other attributes, by name.
        """
        return cls(network=describe(network), **said)

    @classmethod
    def of_file(cls, path: str | PathLike[str]) -> About | None:
        """What a weights file says of itself; None where it says nothing.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        if is_installed("torch"):
            from coseg_bundle.networks.checkpoints import read_weights

            said: Any = read_weights(path)[1]
        else:
            said = read_arrays(path).get(ABOUT)
        return None if said is None else cls.from_tensor(said, path)

    @classmethod
    def from_tensor(cls, tensor: Any, path: object = "the weights file") -> About:
        """Reads what `to_tensor` wrote, a tensor or an array; names that a later version adds are passed over.

        Raises:
            CheckpointError: It is damaged.
        """
        try:
            text = np.asarray(tensor).astype(np.uint8).tobytes()
        except (ValueError, TypeError, RuntimeError) as error:
            raise _damaged(path, error) from error
        return cls.from_json(text, path)

    @classmethod
    def from_json(cls, text: str | bytes, path: object = "the weights file") -> About:
        """Reads what `to_json` wrote.

        Raises:
            CheckpointError: It is damaged.
        """
        try:
            content = json.loads(text)
            known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
            for name in ("tissue_classes", "nuclei_classes", "untrained"):
                known[name] = tuple(str(value) for value in known.get(name, ()))
            about = cls(**known)
            HeadLayout(**about.network["layout"])
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
            raise _damaged(path, error) from error
        return about


def _damaged(path: object, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path}: what it says of itself is damaged ({error}); download it again, or write it again."
    )


def describe(network: CoSeg) -> dict[str, Any]:
    """The arguments that a network was built with, plain values for JSON; LoRA counts as merged."""
    encoder, prompts, decoder = network.image_encoder, network.rp_encoder, network.mp_decoder
    return {
        "layout": asdict(network.layout),
        "prompting": network.prompting,
        "paradigm": "joint" if network.nuclei_image_encoder is None else "separate",
        "image_encoder": encoder.arguments,
        "rp_encoder": None if prompts is None else prompts.arguments,
        "mp_decoder": decoder.arguments,
    }


def build(description: Mapping[str, Any]) -> CoSeg:
    """The network that `describe` described, with fresh weights."""
    from coseg_bundle.networks.coseg import CoSeg
    from coseg_bundle.networks.image_encoder import HieraImageEncoder
    from coseg_bundle.networks.mp_decoder import MPDecoder
    from coseg_bundle.networks.rp_encoder import RPEncoder

    layout = HeadLayout(**description["layout"])
    prompts = description["rp_encoder"]
    return CoSeg(
        HieraImageEncoder(**description["image_encoder"]),
        MPDecoder(layout, **description["mp_decoder"]),
        None if prompts is None else RPEncoder(**prompts),
        prompting=description["prompting"],
        paradigm=description["paradigm"],
    )


_WINDOW = 8
"""What is assumed of a file that does not say it, whose trunk has stages that cannot attend to the whole image."""


class Detail(NamedTuple):
    """What of a network is not as in SAM 2 or the paper.

    Attributes:
        depth: `detail_depth` of the encoder.
        dims: Its `pyramid_dims`.
        window: Of the prompts and the decoder.
        hidden: `detail_dims` of the encoder; its default where None, as for the following.
        stages: Its `stages`.
        mlp_ratio: Its `mlp_ratio`.
        stride: Of the prompts.
    """

    depth: int
    dims: list[int] | None
    window: int = 0
    hidden: list[int] | None = None
    stages: list[int] | None = None
    mlp_ratio: float = 4.0
    stride: int = 1


def detail_of(path: str | PathLike[str] | None, variant: str = "mini") -> Detail:
    """What a weights file has of it; what a new network gets where there is no file.

    So one configuration fits weights of every size, those that say nothing of themselves too.

    Args:
        path: The weights, if any.
        variant: Of a new network's encoder.

    Raises:
        CheckpointError: The file is damaged.
    """
    if not path or not os.path.isfile(path):
        return Detail(3, [64, 64] if variant == "mini" else None)
    from coseg_bundle.networks.checkpoints import read_weights

    state, said = read_weights(path)
    decoder = {} if said is None else About.from_tensor(said, path).network["mp_decoder"]
    detail = [_outputs(state, rf"image_encoder\.detail\.blocks\.{level}\.\d+\.widen\.weight") for level in (0, 1)]
    inside = _outputs(state, r"image_encoder\.trunk\.blocks\.\d+\.mlp\.(?:mlp\.)?layers\.0\.weight")
    outside = _outputs(state, r"image_encoder\.trunk\.blocks\.\d+\.mlp\.(?:mlp\.)?layers\.1\.weight")
    stages = list(Counter(outside).values())  # each stage has more channels than the one before
    usual = not stages or tuple(stages) in {sizes.stages for sizes in VARIANTS.values()}
    return Detail(
        depth=len(detail[1]),
        dims=_outputs(state, r"image_encoder\.pyramid\.laterals\.\d+\.weight") or None,
        window=int(decoder.get("window", 0 if usual else _WINDOW)),
        hidden=[level[0] for level in detail if level] or None,
        stages=stages or None,
        mlp_ratio=inside[0] / outside[0] if inside else 4.0,
        stride=int(state.get(STRIDE, 1)),
    )


def _outputs(state: Mapping[str, Tensor], pattern: str) -> list[int]:
    """Output channels of the layers of that name, in their order."""
    return [weight.shape[0] for name, weight in state.items() if re.fullmatch(pattern, name)]
