"""MONAI Label's tasks: inference, training, active learning. The work is done in modules that know no MONAI Label."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

from coseg_bundle.service.active_learning import most_disagreed
from coseg_bundle.service.formats import WRITERS, summary, to_json
from coseg_bundle.service.query import OPTIONS, Query
from coseg_bundle.service.segmentation import SegmentationService
from coseg_bundle.service.shapes import Group
from coseg_bundle.service.training import OPTIONS as TRAINING_OPTIONS
from coseg_bundle.service.training import Labelled, read_report, train
from coseg_bundle.web.access import without_folders

logger = logging.getLogger(__name__)


class SegmentationTask(InferTask):
    """One of the three models; all of them share the service and its answers.

    Args:
        service: What segments.
        name: Name of the model.
        groups: What it returns.
    """

    def __init__(self, service: SegmentationService, name: str, groups: Sequence[Group]) -> None:
        self.service, self.name, self.groups = service, name, groups
        names = {shape: i for i, shape in enumerate(self.colours(), start=1)}
        what = " and ".join(groups)
        super().__init__(InferType.SEGMENTATION, names, 2, f"Co-Seg: {what} of H&E images", dict(OPTIONS))

    def colours(self) -> dict[str, list[int]]:
        """Colour of each class that the model returns."""
        predictor = self.service.predictor()
        maps = {"nuclei": predictor.nuclei_classes, "tissue": predictor.tissue_classes}
        return {
            maps[group].name_of(i): list(maps[group].colour_of(i))
            for group in self.groups
            for i in range(1, len(maps[group]))
        }

    def info(self) -> dict[str, Any]:
        """What `/info/` tells about the model."""
        predictor = self.service.predictor()
        return {
            **super().info(),
            "label_colors": self.colours(),
            "groups": list(self.groups),
            "mpp": predictor.mpp,
            "formats": list(WRITERS),
            "weights": self.service.served,
            "untrained": list(predictor.untrained),
            "versions": [path.name for path in self.service.weights.versions()],
        }

    def is_valid(self) -> bool:
        """The service does not start without weights."""
        return True

    def get_path(self, validate: bool = True) -> str:
        """The weights that are served."""
        return str(self.service.predictor().weights)

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Segments; returns a file in the wanted format, and what it is about (with the polygons for `json`)."""
        query = Query.of(request)
        answer = self.service.segment(Path(request["image"]), query).only(self.groups, query.classes or None)
        about = to_json(answer, self.name) if query.format == "json" else summary(answer, self.name)
        suffix, write = WRITERS[query.format]
        with tempfile.NamedTemporaryFile(suffix=suffix, delete=False) as file:
            path = Path(file.name)
        write(path, answer, self.name)
        return str(path), about


class SegmentAllTask(BatchInferTask):
    """Segments one image after the other and saves the answers as labels; one that cannot be does not stop the others.

    MONAI Label's own shares them out among GPUs, and divides by their number.
    """

    def __call__(
        self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., dict[str, Any]]
    ) -> dict[str, Any]:
        """What was said of each image by id: the answer without its file, or `error`.

        Raises:
            HTTPException: No image could be segmented.
        """
        images = sorted(self.get_images(request, datastore))
        images = images[: int(request.get("max_batch_size") or 0) or None]
        tag = request.get("label_tag") or DefaultLabelTag.ORIGINAL.value
        told: dict[str, Any] = {}
        for number, image in enumerate(images, start=1):
            try:
                answer = infer({**request, "image": image, "save_label": True, "label_tag": tag}, datastore)
                Path(answer.pop("file")).unlink(missing_ok=True)
                told[image] = answer
            except Exception as error:  # whatever a broken file makes of the reader
                reason = error.detail if isinstance(error, HTTPException) else without_folders(str(error))
                logger.warning("%s is left out: %s", image, reason, exc_info=not isinstance(error, HTTPException))
                told[image] = {"error": reason}
            logger.info("%d of %d: %s", number, len(images), image)
        failed = [f"{image}: {answer['error']}" for image, answer in told.items() if "error" in answer]
        if failed and len(failed) == len(told):
            raise HTTPException(status_code=422, detail=f"No image could be segmented; {'; '.join(failed[:9])}")
        return told


class AnnotationTrainTask(TrainTask):
    """Goes on training the served weights with what was annotated.

    Args:
        service: Knows the bundle and the weights.
        folder: Where training data and runs are written.
    """

    def __init__(self, service: SegmentationService, folder: Path) -> None:
        super().__init__("Train Co-Seg with the annotations")
        self.service, self.folder = service, folder

    def config(self) -> dict[str, Any]:
        """Options that clients show."""
        return dict(TRAINING_OPTIONS)

    def stats(self) -> dict[str, Any]:
        """What the last training said; of one that failed, its error. Sentences name no folders."""
        told: dict[str, Any] = _told(read_report(self.folder))
        return told

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Trains and publishes the new weights."""
        return train(self.service, labelled_images(datastore), self.folder, request)


class DisagreementStrategy(Strategy):
    """The image, or the region of it, where the second decoding moved furthest from the first.

    Args:
        service: What segments.
    """

    def __init__(self, service: SegmentationService) -> None:
        super().__init__("Where the two decodings of Co-Seg disagree most")
        self.service = service

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Id, score and region `[x, y, width, height]` (px of level 0) of what to annotate next."""
        images = {i: Path(datastore.get_image_uri(i)) for i in sorted(datastore.get_unlabeled_images())}
        found = most_disagreed(self.service, images, request, {i: mpp_of(datastore, i) for i in images})
        if found is None:
            return None
        skipped = [without_folders(sentence) for sentence in found.skipped]
        return {"id": found.image_id, "weight": found.score, "region": list(found.box), "skipped": skipped}


def _told(value: Any) -> Any:
    """A report for a client."""
    if isinstance(value, dict):
        return {name: _told(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_told(item) for item in value]
    return without_folders(value) if isinstance(value, str) else value


def mpp_of(datastore: Datastore, image_id: str) -> Any:
    """Microns per pixel of level 0 that a client gave with an image; None where it gave none."""
    return dict(datastore.get_image_info(image_id)).get("mpp")


def labelled_images(datastore: Datastore) -> list[Labelled]:
    """Images with a final label, and what was said with it; of the resolution, else what was said with the image."""
    labelled = []
    for image_id in sorted(datastore.get_labeled_images()):
        label_id = datastore.get_label_by_image_id(image_id, "final")
        info = dict(datastore.get_label_info(label_id, "final"))
        labelled.append(
            Labelled(
                image_id,
                Path(datastore.get_image_uri(image_id)),
                Path(datastore.get_label_uri(label_id, "final")),
                {**info, "mpp": info.get("mpp") or mpp_of(datastore, image_id)},
            )
        )
    return labelled
