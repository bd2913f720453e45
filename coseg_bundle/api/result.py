"""What was found in an image."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.data.images import HistologyImage
from coseg_bundle.postprocessing.instances import InstanceTable
from coseg_bundle.postprocessing.prediction import Prediction
from coseg_bundle.writers.summary import BrokenRecordError

if TYPE_CHECKING:
    from PIL.Image import Image

    from coseg_bundle.inferers.predictor import Predictor


@dataclass(frozen=True)
class Result:
    """Nuclei and tissue of one image, in its pixels.

    Attributes:
        image: The image, its path absolute.
        prediction: Maps and table together.
        predictor: What found them.
        given: Microns per pixel that somebody gave; None where the file says them, or nobody.
    """

    image: HistologyImage
    prediction: Prediction
    predictor: Predictor
    given: float | None = None

    @property
    def nuclei(self) -> InstanceTable:
        """One row per nucleus, in columns: `centroid_xy`, `area_px`, `contours_xy`, `type_id`, `nuclei_prob`, ..."""
        return self.prediction.instances

    @property
    def instance_map(self) -> NDArray[np.int32]:
        """`(H, W)` int32, 0 background, the nuclei's ids."""
        return self.prediction.instance_map

    @property
    def tissue(self) -> NDArray[np.uint8]:
        """`(H, W)` uint8, tissue class ids; their names are `tissue_classes`."""
        return self.prediction.tissue_map

    @property
    def tissue_classes(self) -> ClassMap:
        """Names and colours of the tissue classes."""
        return self.predictor.result_classes[0]

    @property
    def nuclei_classes(self) -> ClassMap:
        """Names and colours of the nuclei classes, background first."""
        return self.predictor.result_classes[1]

    def plot(self) -> Image:
        """The image with its tissue tinted and its nuclei outlined; a notebook shows it."""
        from PIL import Image

        from coseg_bundle.writers.overlay import draw_overlay

        names = self.tissue_classes, self.nuclei_classes
        return Image.fromarray(draw_overlay(self.image.rgb, self.prediction, *names))

    def save(self, folder: str | PathLike[str], *, nifti: bool = False) -> Path:
        """Writes the files that `coseg predict` writes, into the folder itself.

        Args:
            folder: Made if it does not exist; what was saved of the same image, or of an array, is replaced.
            nifti: Whether to write NIfTI volumes too.

        Raises:
            ResultsFolderError: It holds results of a slide or of another image, or files that are no results, or it
                cannot be written to.
        """
        from coseg_bundle.inferers.predict_files import provenance
        from coseg_bundle.writers.folders import ResultsFolderError, claimed, recorded
        from coseg_bundle.writers.results import write_results

        extra: dict[str, Any] = provenance(self.predictor, self.image, self.prediction, self.given)
        names = self.tissue_classes, self.nuclei_classes
        untrained = self.predictor.untrained
        folder = Path(folder)
        with claimed(folder, "predict"):
            there = None
            with suppress(BrokenRecordError):
                there = recorded(folder)
            if there is not None and (file := Path(str(there.get("file")))).resolve() != self.image.path.resolve():
                raise ResultsFolderError(f"{folder} holds results of {file}; give another folder, or remove it.")
            write_results(folder, self.image, self.prediction, *names, nifti=nifti, extra=extra, untrained=untrained)
        return folder
