"""Metrics on label maps (numpy and scipy), and MONAI metric classes around them in `monai_metrics`.

Undefined is NaN and leaves a mean: a score of a class, or of instances, that neither side has. A perfect prediction is
1, also where the truth fills the image; nothing predicted where there is something, or the other way round, is 0.
"""

from coseg_bundle.metrics.aji import Jaccard, aggregated_jaccard, aggregated_jaccard_index
from coseg_bundle.metrics.contingency import Contingency, contingency
from coseg_bundle.metrics.detection import centroids_xy, detection_counts
from coseg_bundle.metrics.panoptic import (
    PanopticQuality,
    matched_pairs,
    panoptic_quality,
    panoptic_quality_by_class,
    tissue_panoptic_quality,
)
from coseg_bundle.metrics.semantic import class_overlaps, dice, hausdorff_distance, iou, labelled_part

__all__ = [
    "Contingency",
    "Jaccard",
    "PanopticQuality",
    "aggregated_jaccard",
    "aggregated_jaccard_index",
    "centroids_xy",
    "class_overlaps",
    "contingency",
    "detection_counts",
    "dice",
    "hausdorff_distance",
    "iou",
    "labelled_part",
    "matched_pairs",
    "panoptic_quality",
    "panoptic_quality_by_class",
    "tissue_panoptic_quality",
]
