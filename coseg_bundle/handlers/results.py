"""Writes an evaluator's predictions as files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from coseg_bundle import keys
from coseg_bundle.classes import result_classes
from coseg_bundle.data.images import HistologyImage
from coseg_bundle.networks.weights_file import sha256
from coseg_bundle.postprocessing.prediction import Prediction
from coseg_bundle.writers.folders import claimed, result_folders
from coseg_bundle.writers.results import write_results


class WriteResultsHandler:
    """Writes the folder of results of each image that an inference workflow has segmented.

    A handler, not a transform: MONAI Label runs the bundle's transforms and must not find files written by them.

    Args:
        output_dir: Folder that gets a folder for each image, named after it.
        tissue_classes: Tissue class names.
        nuclei_classes: Nuclei class names, background first.
        nifti: Whether to write NIfTI volumes too.
        untrained: Tasks that nobody taught the network; their results are left out.
        weights: The file that the network's weights are from, for the record.
    """

    def __init__(
        self,
        output_dir: str,
        tissue_classes: Sequence[str],
        nuclei_classes: Sequence[str],
        nifti: bool = False,
        untrained: Sequence[str] = (),
        weights: str | None = None,
    ) -> None:
        self.output_dir, self.nifti, self.untrained = Path(output_dir), nifti, tuple(untrained)
        self.tissue_classes, self.nuclei_classes = result_classes(tissue_classes, nuclei_classes, untrained)
        file = Path(weights) if weights else None
        self.of_weights = {
            "weights": file.name if file else None,
            "weights_sha256": sha256(file) if file and file.is_file() else None,  # their loader refuses no file
        }

    def attach(self, engine: Engine) -> None:
        """Registers the handler after each image."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Writes the images of one batch."""
        for item in engine.state.output:
            image = item[CommonKeys.IMAGE]
            path = Path(os.path.abspath(image.meta["filename_or_obj"]))  # whoever reads the summary may be elsewhere
            rgb = (image.as_tensor() * 255).round().byte().permute(1, 2, 0).cpu().numpy()  # (3, H, W) -> (H, W, 3)
            prediction = Prediction(
                item[keys.PRED_INSTANCES][0].numpy(), item[keys.PRED_TABLE], item[keys.PRED_TISSUE][0].numpy()
            )
            [folder] = result_folders([path], self.output_dir)
            with claimed(folder, "predict"):
                write_results(
                    folder,
                    HistologyImage(np.ascontiguousarray(rgb), None, path),
                    prediction,
                    self.tissue_classes,
                    self.nuclei_classes,
                    nifti=self.nifti,
                    extra=self.of_weights,
                    untrained=self.untrained,
                )
