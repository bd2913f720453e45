"""Inferers: mixed precision, mirrored copies, sliding window; the predictor joins network and post-processing."""

from coseg_bundle.inferers.autocast import AutocastInferer
from coseg_bundle.inferers.flips import FlipInferer
from coseg_bundle.inferers.predictor import Predictor
from coseg_bundle.inferers.tiled import TiledInferer

__all__ = ["AutocastInferer", "FlipInferer", "Predictor", "TiledInferer"]
