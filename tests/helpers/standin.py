"""Slides that carry their own truth in their colours, and a network of bounded reach that reads it back.

Red says what a pixel is (nucleus, gland, other tissue), green and blue hold the hv map.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tifffile
import torch

from coseg_bundle.classes import ClassMap
from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing
from coseg_bundle.precision import Precision

MPP = 0.25
FULL = Precision("fp32", "the stand-in's")


class ColourReader(torch.nn.Module):
    """Looks one pixel around each pixel. Its answers are those that the slide's 8-bit maps can hold."""

    def __init__(self, layout: HeadLayout) -> None:
        super().__init__()
        self.layout = layout
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        red = torch.nn.functional.avg_pool2d(image[:, :1] * 255, 3, 1, 1)
        pred = torch.zeros(image.shape[0], self.layout.channels, *image.shape[-2:])
        parts = self.layout.split(pred)
        parts["tissue_logits"][:, 1:2] = ((218 - red) / 8).clamp(-20, 20)
        parts["nuclei_logits"][:] = (((130 - red) / 10 * 16).floor() + 0.5) / 16
        parts["hv_map"][:] = ((image[:, 1:] * 255 - 128) / 100 * 127).round().clamp(-127, 127) / 127
        if self.layout.nuclei_types:
            parts["type_logits"][:, 1] = (parts["hv_map"][:, 0] * 8).round()
            parts["type_logits"][:, 2] = (parts["hv_map"][:, 1] * 8).round()
        if self.layout.disagreement:
            parts["disagreement"][:, 1:] = (image[:, 1:2] * 127).round() / 127
        return pred


def whole_image(images: torch.Tensor, network: torch.nn.Module) -> torch.Tensor:
    """An inferer that does not cut."""
    return network(images)


def predictor(
    types: int = 0,
    min_tissue_area_px: int = 400,
    disagreement: bool = True,
    precision: str | Precision = FULL,
    untrained: tuple[str, ...] = (),
) -> SimpleNamespace:
    """What a slide's run takes from a `Predictor`; without MONAI's imports, processes start at once."""
    layout = HeadLayout(2, types, disagreement)
    type_names = [f"type {i}" for i in range(types)] or ["nucleus"]
    inferer, taught = whole_image, layout
    if untrained:
        from coseg_bundle.inferers import TaughtInferer

        inferer = TaughtInferer(whole_image, layout, untrained)
        taught = inferer.layout
    return SimpleNamespace(
        network=ColourReader(layout).eval(),
        inferer=inferer,
        postprocessing=PostProcessing(
            taught, sobel_size=11, nucleus_opening_px=5, min_tissue_area_px=min_tissue_area_px
        ),
        tissue_classes=ClassMap(("background", "gland")),
        nuclei_classes=ClassMap(("background", *type_names)),
        mpp=MPP,
        weights=None,
        weights_sha256=None,
        untrained=untrained,
        settings={"precision": asdict(precision) if isinstance(precision, Precision) else {"name": precision}},
        device=torch.device("cpu"),
    )


def paint(instances: np.ndarray, gland: np.ndarray | None = None, tissue: np.ndarray | None = None) -> np.ndarray:
    """The image `(H, W, 3)` of an instance map on tissue."""
    rgb = np.full((*instances.shape, 3), 255, np.uint8)
    rgb[np.ones(instances.shape, bool) if tissue is None else tissue] = (235, 128, 128)
    if gland is not None:
        rgb[gland] = (200, 128, 128)
    from coseg_bundle.transforms import hv_map

    maps = hv_map(instances)
    nuclei = instances > 0
    rgb[nuclei, 0] = 60
    rgb[nuclei, 1], rgb[nuclei, 2] = (np.round(128 + 100 * maps[:, nuclei])).astype(np.uint8)
    return rgb


def write_slide(path: Path, rgb: np.ndarray, mpp: float | None = MPP, levels: int = 2, tile: int = 256) -> Path:
    """A tiled pyramid, deflated."""
    resolution = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"} if mpp else {}
    options = {"tile": (tile, tile), "photometric": "rgb", "compression": "deflate", **resolution}
    with tifffile.TiffWriter(path) as file:
        file.write(rgb, subifds=levels - 1, **options)
        for level in range(1, levels):
            file.write(rgb[:: 2**level, :: 2**level], subfiletype=1, **options)
    return path


SIZES = {"tile_px": 256, "halo_px": 32, "batch_size": 3}


def run(slide, folder, workers):
    """Segments one slide with small tiles; the workers is closed whatever happens."""
    from coseg_bundle.wsi.pipeline import run_slides

    try:
        [result] = run_slides([slide], [folder], workers, predictor(), **SIZES)
    finally:
        workers.close()
    return result


def two_classes(folder, instances, untrained=(), **options):
    """Results of a slide with two classes of nuclei, its left half gland."""
    from coseg_bundle.wsi.pipeline import run_slides
    from coseg_bundle.wsi.run.workers import InlineWorkers

    gland = np.zeros(instances.shape, bool)
    gland[:, : instances.shape[1] // 2] = True
    slide = write_slide(folder / "slide.tif", paint(instances, gland))
    make = partial(predictor, types=2, untrained=untrained)
    [result] = run_slides([slide], [folder / "results"], InlineWorkers(make), make(), **SIZES, **options)
    assert result.error is None
    return result.folder


def contents(folder):
    """The files of a result that must be the same in every run."""
    from coseg_bundle.wsi.pipeline import RUN

    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != RUN}
