"""A network, ready to segment images and slides."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.api.result import Result
from coseg_bundle.api.slide_result import SlideResult
from coseg_bundle.data.images import HistologyImage, read_image, suffix_of
from coseg_bundle.data.images.files import SLIDE_SUFFIXES

if TYPE_CHECKING:
    from coseg_bundle.inferers.predictor import Predictor

ARRAY = Path("array")
"""Stands for the file of an image that came as an array."""

_SLIDE_OPTIONS = ("tile_px", "halo_px", "batch_size", "origin", "regions", "progress")


def load(
    weights: str | PathLike[str] | None = None,
    *,
    device: str | None = None,
    engine: str = "auto",
    precision: str | None = None,
    bundle: str | PathLike[str] | None = None,
    **settings: Any,
) -> Model:
    """A network; nothing is read before it is used.

    Args:
        weights: A weights or ONNX file; the released weights when not given.
        device: `cpu`, `cuda`, `cuda:1`, ...; the GPU, if there is one, when not given.
        engine: `torch`, `onnx`, or `auto`: PyTorch where it is installed, onnxruntime elsewhere.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        bundle: The bundle's folder; found by itself when not given.
        settings: Values of `configs/inference.yaml` to replace, by name, such as `flips=True`; inside a block as a
            table, such as `segmentation={"min_nucleus_prob": 0.6}`. What would change nothing is refused.

    Raises:
        ValueError: `weights` is no path, or a setting has the name of an argument.

    Example:
        >>> model = load()                                          # doctest: +SKIP
        >>> len(model.image("region.png", mpp=0.5).nuclei)          # doctest: +SKIP
        412
    """
    if not isinstance(weights, str | PathLike | None):
        raise ValueError(f"Expected the file of the weights, got {type(weights).__name__}: a path, or nothing.")
    if "bundle_root" in settings:
        raise ValueError("Expected the bundle's folder as bundle, got it as bundle_root.")
    options = {"bundle_root": bundle, "weights": weights, "device": device, "engine": engine, "precision": precision}
    return Model(options, settings)


@dataclass(frozen=True)
class Model:
    """A network that segments; `coseg_bundle.load` makes it.

    Attributes:
        options: Arguments of `Predictor.from_bundle`.
        settings: Values of `configs/inference.yaml` that replace the file's.
    """

    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def predictor(self) -> Predictor:
        """The network with all that belongs to it; made when it is first asked for.

        Raises:
            ValueError: The weights, the device or the engine cannot be used.
        """
        from coseg_bundle.inferers.predictor import Predictor

        return Predictor.from_bundle(**self.options, **self.settings)

    def image(self, image: str | PathLike[str] | NDArray[np.uint8], mpp: float | None = None) -> Result:
        """Segments one image.

        Args:
            image: A file (PNG, JPEG, TIFF, NIfTI), or RGB `(H, W, 3)` uint8.
            mpp: Its microns per pixel; what the file says when not given, and where it says nothing the network's own.

        Raises:
            ValueError: The image cannot be used.
        """
        if not isinstance(image, str | PathLike | np.ndarray):
            said = f"got {type(image).__name__}; np.asarray makes an array of a PIL image"
            raise ValueError(f"Expected a file or an array (H, W, 3) uint8, {said}.")
        if not isinstance(image, np.ndarray) and (suffix_of(image) in SLIDE_SUFFIXES or Path(image).is_dir()):
            raise ValueError(f"Expected one image, got {image}: whole slides are for slide(), a folder for a loop.")
        if isinstance(image, np.ndarray):
            taken = HistologyImage(image.copy(), None, ARRAY)  # the caller's may be filled with the next image
        else:
            taken = replace(read_image(image), path=Path(os.path.abspath(image)))  # a script may go elsewhere
        used = taken.square_mpp if mpp is None else _checked_mpp(mpp)
        predictor = self.predictor
        return Result(taken, predictor.predict(taken.rgb, used, unscanned=taken.unscanned), predictor, given=mpp)

    def slide(
        self,
        slide: str | PathLike[str],
        output: str | PathLike[str],
        mpp: float | None = None,
        *,
        workers: int | None = None,
        overwrite: bool = False,
        **options: Any,
    ) -> SlideResult:
        """Segments a whole slide; a run that was stopped goes on, and finished results come back as they are.

        Args:
            slide: The file.
            output: Folder that gets a folder for the slide, as `coseg slide` writes it.
            mpp: Microns per pixel of the slide; what the file says when not given.
            workers: Processes that share the work. Without, it is done in this one; with them, a script must keep
                its own work under `if __name__ == "__main__":`.
            overwrite: Whether to begin anew where results made from something else are in the way.
            options: Of `run_slides`: `tile_px`, `halo_px`, `batch_size`, `origin`, `regions`, `progress`.

        Raises:
            ValueError: The slide is no file, an argument is none that there is, or there is no memory for the workers.
            SlideRunError: The slide cannot be segmented; the message says why, in the words of `coseg slide`:
                `--overwrite` is `overwrite=True` here.
        """
        from coseg_bundle.engine.cores import available_cores
        from coseg_bundle.writers.folders import result_folders
        from coseg_bundle.wsi.pipeline import SlideRunError, run_slides
        from coseg_bundle.wsi.read.backend import checked_origin
        from coseg_bundle.wsi.run.workers import InlineWorkers, LocalWorkers, roles, team_size

        if not isinstance(slide, str | PathLike):
            raise ValueError(f"Expected the file of a slide, got {type(slide).__name__}; image() takes an array.")
        if unknown := sorted(options.keys() - set(_SLIDE_OPTIONS)):
            raise ValueError(f"Expected options of {', '.join(_SLIDE_OPTIONS)}, got {', '.join(unknown)}.")
        if "origin" in options:
            checked_origin(options["origin"])
        if options.get("regions") is not None:
            options["regions"] = Path(options["regions"])
        path = Path(slide)
        if workers is not None and not (isinstance(workers, int) and workers >= 1):
            raise ValueError(f"Expected 1 worker or more, or None to work in this process, got {workers!r}.")
        make = self._for_tiles(options)
        predictor = make()
        team: Any = InlineWorkers(lambda precision: predictor, available_cores())
        if workers is not None:
            gpu = getattr(predictor.device, "type", "cpu") != "cpu"
            team = LocalWorkers(make, roles(team_size(workers), available_cores(), gpu))
        try:
            [result] = run_slides(
                [path],
                result_folders([path], Path(output)),
                team,
                predictor,
                mpp=None if mpp is None else _checked_mpp(mpp),
                resume=True,
                overwrite=overwrite,
                **options,
            )
        finally:
            team.close()
        if result.error:
            raise SlideRunError(result.error)
        return SlideResult.open(result.folder)

    def _for_tiles(self, options: dict[str, Any]) -> Callable[..., Predictor]:
        """Makes the network with windows of a tile's size, here and in other processes."""
        from coseg_bundle.inferers.predictor import Predictor
        from coseg_bundle.wsi.segment.tiles import window_settings

        sizes = {name: options[name] for name in ("tile_px", "batch_size") if name in options}
        return partial(Predictor.from_bundle, **{**self.options, **self.settings, **window_settings(**sizes)})


def _checked_mpp(mpp: Any) -> float:
    if isinstance(mpp, bool) or not isinstance(mpp, int | float | np.number) or not 0 < mpp < math.inf:
        raise ValueError(f"Expected microns per pixel above 0, such as 0.25, got {mpp!r}.")
    return float(mpp)
