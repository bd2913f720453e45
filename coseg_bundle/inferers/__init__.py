"""Inferers: mixed precision, sliding window, and the predictor that joins network and post-processing."""

from coseg_bundle.inferers.autocast import AutocastInferer
from coseg_bundle.inferers.predictor import Predictor
from coseg_bundle.inferers.tiled import TiledInferer

__all__ = ["AutocastInferer", "Predictor", "TiledInferer"]
