"""The Co-Seg network: image encoder, RP-Encoder, MP-Decoder (paper, figure 2)."""

from typing import TYPE_CHECKING

from coseg_bundle.lazy import lazily

if TYPE_CHECKING:
    from coseg_bundle.networks.about import About
    from coseg_bundle.networks.blocks.variants import VARIANTS
    from coseg_bundle.networks.checkpoints import load_sam2_weights, load_weights, save_released
    from coseg_bundle.networks.coseg import CoSeg
    from coseg_bundle.networks.head_layout import HeadLayout
    from coseg_bundle.networks.image_encoder import HieraImageEncoder, ImageEmbeddings
    from coseg_bundle.networks.mp_decoder import MPDecoder
    from coseg_bundle.networks.peft import train_only
    from coseg_bundle.networks.rp_encoder import RPEncoder
    from coseg_bundle.networks.starting import known_tasks, start_from
    from coseg_bundle.networks.weights_file import CheckpointError

__all__ = [
    "VARIANTS",
    "About",
    "CheckpointError",
    "CoSeg",
    "HeadLayout",
    "HieraImageEncoder",
    "ImageEmbeddings",
    "MPDecoder",
    "RPEncoder",
    "known_tasks",
    "load_sam2_weights",
    "load_weights",
    "save_released",
    "start_from",
    "train_only",
]

_HOMES = {
    "VARIANTS": "blocks.variants",
    "About": "about",
    "CheckpointError": "weights_file",
    "CoSeg": "coseg",
    "HeadLayout": "head_layout",
    "HieraImageEncoder": "image_encoder",
    "ImageEmbeddings": "image_encoder",
    "MPDecoder": "mp_decoder",
    "RPEncoder": "rp_encoder",
    "known_tasks": "starting",
    "load_sam2_weights": "checkpoints",
    "load_weights": "checkpoints",
    "save_released": "checkpoints",
    "start_from": "starting",
    "train_only": "peft",
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
