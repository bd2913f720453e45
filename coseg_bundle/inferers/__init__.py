"""Inferers: mixed precision, CUDA graphs, mirrored copies, sliding window; the predictor adds post-processing."""

from coseg_bundle.inferers.autocast import AutocastInferer
from coseg_bundle.inferers.flips import FlipInferer
from coseg_bundle.inferers.graphed import GraphedInferer
from coseg_bundle.inferers.predictor import Predictor
from coseg_bundle.inferers.tiled import TiledInferer

__all__ = ["AutocastInferer", "FlipInferer", "GraphedInferer", "Predictor", "TiledInferer"]
