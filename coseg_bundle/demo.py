"""The demonstration: one real image, its results, a picture."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
from PIL import Image

from coseg_bundle.atomic import whole_file
from coseg_bundle.data.images import read_image
from coseg_bundle.inferers.predict_files import predict_files
from coseg_bundle.inferers.predictor import Predictor
from coseg_bundle.writers.summary import doubts_in

DEMO_IMAGE = Path(__file__).with_name("demo.jpg")
"""A breast tumour, with lymphocytes and stroma beside it: tile `Slide_08_3` of TNBC (Naylor et al. 2018, CC BY 4.0) as
a JPEG. The released weights did not learn from this patient."""

DEMO_MPP = 0.25
"""Its resolution, microns per pixel."""


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration made.

    Attributes:
        folder: Folder of results.
        picture: The image beside the image with what was found.
        table: What to tell the user, by name.
        doubts: What speaks against the resolution, in sentences.
    """

    folder: Path
    picture: Path
    table: dict[str, str]
    doubts: list[str]


def run_demo(
    output: Path,
    image: str | PathLike[str] | None = None,
    mpp: float | None = None,
    bundle_root: str | PathLike[str] | None = None,
    precision: str | None = None,
    weights: str | PathLike[str] | None = None,
) -> DemoResult:
    """Segments one image and draws the picture.

    Args:
        output: Folder that gets the results.
        image: An image file; `DEMO_IMAGE` when not given.
        mpp: Its resolution; what the file says when not given.
        bundle_root: The bundle's folder, if it is not found by itself.
        precision: `auto`, `fp32`, `bf16` or `fp16`; the configuration's choice when not given.
        weights: Weights instead of the bundle's.

    Raises:
        ValueError: The image or the weights cannot be used, or the results cannot be written.
        NoRoomError: The disk is full.
    """
    predictor = Predictor.from_bundle(bundle_root, weights, precision=precision)
    output.mkdir(parents=True, exist_ok=True)
    if image is None:
        path, mpp = output / "image" / "breast.jpg", mpp or DEMO_MPP
        path.parent.mkdir(exist_ok=True)
        with whole_file(path) as partial:
            copyfile(DEMO_IMAGE, partial)
    else:
        path = Path(image)
    (result,) = predict_files(predictor, [path], output, mpp=mpp)
    if result.error:
        raise ValueError(result.error)
    picture = output / f"{result.folder.name}_picture.png"  # no two images have one folder
    overlay = np.asarray(Image.open(result.folder / "overlay.png"))
    gap = np.full((overlay.shape[0], 8, 3), 255, np.uint8)
    with whole_file(picture) as partial:
        Image.fromarray(np.concatenate([read_image(path).rgb, gap, overlay], axis=1)).save(partial)
    return DemoResult(result.folder, picture, _table(result.summary), doubts_in(result.summary))


def _table(summary: dict[str, Any]) -> dict[str, str]:
    pixels = summary["width_px"] * summary["height_px"]
    areas = {f"tissue: {name}": f"{100 * n / pixels:.1f} %" for name, n in summary["tissue_area_px"].items()}
    counts = {f"nuclei: {name}": str(n) for name, n in summary["nuclei_by_class"].items()}
    return {
        "image": f"{summary['width_px']} x {summary['height_px']} px, {summary['mpp'] or 'unknown'} um/px",
        **counts,
        **areas,
        "seconds": f"{summary['seconds']['predict']:.1f}",
    }
