"""Metrics on label maps (numpy only), and MONAI metric classes around them in `monai_metrics`."""

from coseg_bundle.metrics.contingency import Contingency, contingency
from coseg_bundle.metrics.panoptic import PanopticQuality, aggregated_jaccard_index, panoptic_quality
from coseg_bundle.metrics.semantic import dice

__all__ = ["Contingency", "PanopticQuality", "aggregated_jaccard_index", "contingency", "dice", "panoptic_quality"]
