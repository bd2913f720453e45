"""From the network's output tensor to what a user wants: instances, their table, tissue."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.postprocessing.hover import segment_instances
from coseg_bundle.postprocessing.instances import InstanceTable, instance_table
from coseg_bundle.postprocessing.probabilities import logistic
from coseg_bundle.postprocessing.resample import redraw_instances, resample_classes
from coseg_bundle.postprocessing.tissue import clean_tissue, smallest_region, without_specks
from coseg_bundle.settings.values import check_number

if TYPE_CHECKING:
    from coseg_bundle.networks.head_layout import HeadLayout


@dataclass(frozen=True)
class Prediction:
    """The segmentation of one image.

    Attributes:
        instance_map: `(H, W)` int32, 0 background.
        instances: One row per nucleus.
        tissue_map: `(H, W)` uint8 class ids.
        mpp: Microns per pixel of these maps, or None where it is not known.
        unscanned: `(H, W)` bool, what was not scanned; None where everything was.
    """

    instance_map: NDArray[np.int32]
    instances: InstanceTable
    tissue_map: NDArray[np.uint8]
    mpp: float | None = None
    unscanned: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class PostProcessing:
    """Settings of the post-processing, and the function that applies them.

    Args:
        layout: Channels of the network's output.
        nuclei_threshold: Foreground from this nuclei probability on.
        sobel_size: Side of the Sobel filter, px; 21 at 40x.
        edge_threshold: Edge strength, 0 to 1, from which a pixel is in no marker; None for the usual one.
        min_nucleus_area_px: Smaller nuclei are dropped.
        min_nucleus_prob: Nuclei with a lower mean probability are dropped.
        nucleus_opening_px: Diameter of the disk that outlines are opened by, odd; 1 leaves them as they are.
        min_tissue_area_px: Smaller tissue regions take the class around them; counted in pixels of the network, and of
            the image where those are wider.
        normalisation: `fixed`, or `minmax` for HoVer-Net's published behaviour.

    Raises:
        ValueError: A setting is out of its range.
    """

    layout: HeadLayout
    nuclei_threshold: float = 0.5
    sobel_size: int = 21
    edge_threshold: float | None = None
    min_nucleus_area_px: int = 10
    min_nucleus_prob: float = 0.0
    nucleus_opening_px: int = 1
    min_tissue_area_px: int = 0
    normalisation: Literal["fixed", "minmax"] = "fixed"

    def __post_init__(self) -> None:
        for name in ("nuclei_threshold", "min_nucleus_prob", "edge_threshold"):
            if name != "edge_threshold" or self.edge_threshold is not None:
                check_number(name, getattr(self, name), high=1)
        for name in ("min_nucleus_area_px", "min_tissue_area_px"):
            check_number(name, getattr(self, name))
        check_number("sobel_size", self.sobel_size, 3, 31, "odd number")
        check_number("nucleus_opening_px", self.nucleus_opening_px, 1, kind="odd number")
        if self.normalisation not in ("fixed", "minmax"):
            raise ValueError(f"Expected normalisation fixed or minmax, got {self.normalisation!r}.")

    def maps(self, pred: NDArray[np.floating]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Instance map and tissue map of the network's output `(C, H, W)`."""
        parts = self.layout.split(pred, channel_dim=0)
        instance_map = self._instances(logistic(parts["nuclei_logits"][0]), parts["hv_map"])
        return instance_map, clean_tissue(parts["tissue_logits"], min_area_px=self.min_tissue_area_px)

    def _instances(self, prob: NDArray[np.floating], hv_map: NDArray[np.floating]) -> NDArray[np.int32]:
        return segment_instances(
            prob.astype(np.float32, copy=False),
            hv_map.astype(np.float32, copy=False),
            nuclei_threshold=self.nuclei_threshold,
            sobel_size=self.sobel_size,
            edge_threshold=self.edge_threshold,
            min_area_px=self.min_nucleus_area_px,
            min_prob=self.min_nucleus_prob,
            opening_px=self.nucleus_opening_px,
            normalisation=self.normalisation,
        )

    def __call__(
        self,
        pred: NDArray[np.floating],
        mpp: float | None = None,
        size: tuple[int, int] | None = None,
        unscanned: NDArray[np.bool_] | None = None,
    ) -> Prediction:
        """Segments one image.

        Args:
            pred: The network's output `(C, h, w)`.
            mpp: Microns per pixel of the result, passed on.
            size: Height and width of the result, where the network worked at another resolution: nuclei are measured
                where the network worked, their table is scaled, and the maps are drawn anew. So what the table says is
                as exact as on a slide, and fits the map to a pixel.
            unscanned: `(h, w)`, what was not scanned: no nucleus has its centroid there, and the tissue class is 0.
        """
        if unscanned is not None and unscanned.any():
            pred = pred.copy()
            silence(pred, self.layout, unscanned)
        else:
            unscanned = None
        parts = self.layout.split(pred, channel_dim=0)
        prob = logistic(parts["nuclei_logits"][0])
        instance_map = self._instances(prob, parts["hv_map"])
        height, width = instance_map.shape
        coarser = 1.0 if size is None else math.sqrt(height * width / (size[0] * size[1]))
        smallest = smallest_region(self.min_tissue_area_px, coarser)
        tissue_map = clean_tissue(parts["tissue_logits"], min_area_px=smallest)
        if unscanned is not None:
            tissue_map[unscanned] = 0
        table = instance_table(
            instance_map,
            nuclei_prob=prob,
            type_logits=parts.get("type_logits"),
            tissue_map=tissue_map,
            disagreement=parts["disagreement"][1] if "disagreement" in parts else None,
        )
        if unscanned is not None:
            instance_map, table = _without_those_in(unscanned, instance_map, table)
        if size is not None and size != instance_map.shape:
            table = table.scaled(size[1] / instance_map.shape[1], size[0] / instance_map.shape[0])
            instance_map = redraw_instances(instance_map, parts["nuclei_logits"][0], size)
            tissue_map = resample_classes(tissue_map, size)
            if coarser > 1:  # a narrow bridge breaks there
                tissue_map = without_specks(tissue_map, self.min_tissue_area_px)
            if unscanned is not None:
                unscanned = resample_classes(unscanned.astype(np.uint8), size) > 0
                tissue_map[unscanned] = 0
        return Prediction(instance_map, table, tissue_map, mpp, unscanned)


def silence(pred: Any, layout: HeadLayout, where: Any) -> None:
    """Lets the network's output `(C, h, w)` say background, of tissue and nuclei, in a mask `(h, w)`; array or tensor.

    In place.
    """
    parts = layout.split(pred, channel_dim=0)
    for name in ("nuclei_logits", "tissue_logits"):
        parts[name][:, where] = -_CERTAIN
    parts["tissue_logits"][0, where] = _CERTAIN


_CERTAIN = 20.0
"""A logit that leaves no doubt."""


def _without_those_in(
    mask: NDArray[np.bool_], instance_map: NDArray[np.int32], table: InstanceTable
) -> tuple[NDArray[np.int32], InstanceTable]:
    """Leaves out nuclei whose centroid lies in a mask that they reach around; ids stay 1 to N."""
    columns, rows = np.floor(table.centroid_xy).astype(np.intp).T
    outside = ~mask[rows, columns]
    if outside.all():
        return instance_map, table
    new_id = np.zeros(len(table) + 1, np.int32)
    new_id[1:][outside] = np.arange(1, outside.sum() + 1)
    kept = table.select(outside)
    return new_id[instance_map], replace(kept, instance_id=new_id[kept.instance_id])
