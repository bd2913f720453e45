"""The Co-Seg network: image encoder, RP-Encoder, MP-Decoder (paper, figure 2)."""

from coseg_bundle.networks.about import About
from coseg_bundle.networks.checkpoints import (
    CheckpointError,
    load_sam2_weights,
    load_weights,
    save_released,
)
from coseg_bundle.networks.coseg import CoSeg
from coseg_bundle.networks.head_layout import HeadLayout
from coseg_bundle.networks.image_encoder import VARIANTS, HieraImageEncoder, ImageEmbeddings
from coseg_bundle.networks.mp_decoder import MPDecoder
from coseg_bundle.networks.peft import train_only
from coseg_bundle.networks.rp_encoder import RPEncoder
from coseg_bundle.networks.starting import known_tasks, start_from

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
