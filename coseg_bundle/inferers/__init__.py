"""Inferers: precision, CUDA graphs, mirrored copies, two scales, windows, what was taught; a predictor around them."""

from typing import TYPE_CHECKING

from coseg_bundle.lazy import lazily

if TYPE_CHECKING:
    from coseg_bundle.inferers.autocast import AutocastInferer
    from coseg_bundle.inferers.flips import FlipInferer
    from coseg_bundle.inferers.graphed import GraphedInferer
    from coseg_bundle.inferers.predictor import Predictor
    from coseg_bundle.inferers.taught import TaughtInferer
    from coseg_bundle.inferers.tiled import TiledInferer
    from coseg_bundle.inferers.two_scales import TwoScaleInferer

__all__ = [
    "AutocastInferer",
    "FlipInferer",
    "GraphedInferer",
    "Predictor",
    "TaughtInferer",
    "TiledInferer",
    "TwoScaleInferer",
]

_HOMES = {
    "AutocastInferer": "autocast",
    "FlipInferer": "flips",
    "GraphedInferer": "graphed",
    "Predictor": "predictor",
    "TaughtInferer": "taught",
    "TiledInferer": "tiled",
    "TwoScaleInferer": "two_scales",
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
