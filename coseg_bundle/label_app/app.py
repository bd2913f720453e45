"""The application: what MONAI Label asks for, by name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.config import settings
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.exception import MONAILabelException
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random

import coseg_bundle
from coseg_bundle.bundle_root import WEIGHTS, find_bundle_root
from coseg_bundle.label_app.tasks import AnnotationTrainTask, DisagreementStrategy, SegmentationTask
from coseg_bundle.service.segmentation import MAX_PX, RegionTooLargeError, SegmentationService
from coseg_bundle.service.weights import WeightsFolder

logger = logging.getLogger(__name__)

IMAGE_TYPES = ("svs", "ndpi", "mrxs", "scn", "bif", "tif", "tiff", "png", "jpg", "jpeg")
LABEL_TYPES = ("tif", "tiff", "png", "npy", "geojson", "json", "xml")
MODELS = ("coseg",)


class CoSegApp(MONAILabelApp):
    """Annotate nuclei and tissue with Co-Seg.

    Options (`--conf NAME VALUE`): `models` (`coseg`, the only family there is), `bundle` (the bundle's folder),
    `weights` (a file to start from instead of the bundle's), `device`, `precision` (`auto`, `fp32`, `bf16` or
    `fp16`), `max_region_px` (largest region, px at the network's resolution).

    Args:
        app_dir: This folder.
        studies: Folder of the images.
        conf: Options.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str] | None) -> None:
        conf = conf or {}
        unknown = [name for name in conf.get("models", "coseg").split(",") if name.strip() not in (*MODELS, "all")]
        if unknown:
            raise ValueError(f"Unknown models {unknown}: expected --conf models coseg.")
        settings.MONAI_LABEL_AUTO_UPDATE_SCORING = False
        root = find_bundle_root(conf.get("bundle"))
        initial = Path(conf["weights"]) if conf.get("weights") else root / WEIGHTS
        self.folder = Path(studies) / "coseg"
        self.service = SegmentationService(
            root,
            WeightsFolder(self.folder / "weights", initial),
            conf.get("device"),
            int(conf.get("max_region_px", MAX_PX)),
            conf.get("precision"),
        )
        super().__init__(
            app_dir,
            studies,
            conf,
            name="Co-Seg",
            description="Tissue regions and nuclei instances of H&E images from one network",
            version=coseg_bundle.__version__,
        )

    def init_datastore(self) -> Any:
        """The folder of the images, or a remote store."""
        if self.studies.startswith(("http://", "https://")):
            return super().init_datastore()
        types = [f"*.{suffix}" for suffix in dict.fromkeys((*IMAGE_TYPES, *LABEL_TYPES))]
        return ImageFolder(self.studies, extensions=types, auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD)

    def init_infers(self) -> dict[str, SegmentationTask]:
        """Three models, one network pass."""
        return {
            "coseg": SegmentationTask(self.service, "coseg", ("nuclei", "tissue")),
            "coseg_nuclei": SegmentationTask(self.service, "coseg_nuclei", ("nuclei",)),
            "coseg_tissue": SegmentationTask(self.service, "coseg_tissue", ("tissue",)),
        }

    def init_trainers(self) -> dict[str, AnnotationTrainTask]:
        """One trainer for both tasks."""
        return {"coseg": AnnotationTrainTask(self.service, self.folder)}

    def init_strategies(self) -> dict[str, Any]:
        """What to annotate next."""
        return {"random": Random(), "first": First(), "coseg_disagreement": DisagreementStrategy(self.service)}

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Segments an image or a region of it."""
        image, store = request.get("image"), datastore or self.datastore()
        if isinstance(image, str) and not Path(image).exists() and not store.get_image_uri(image):
            raise HTTPException(
                status_code=404, detail=f"There is no image {image!r} in the datastore; upload it first."
            )
        with _client_errors():
            return dict(super().infer(request, datastore))

    def infer_wsi(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Segments a region of a slide: the same as `infer`; tiles are our own business, so `tile_size` is not used."""
        wanted = request.get("output") or request.get("format") or "dsa"
        return self.infer({**request, "format": wanted}, datastore)

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """The image to annotate next."""
        with _client_errors():
            return dict(super().next_sample(request))


class ImageFolder(LocalDatastore):
    """A folder of images whose labels are of other types; MONAI Label's own takes labels (and its index) for images."""

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        images = Path(path).resolve() == Path(self._datastore.image_path()).resolve()
        return dict(super()._list_files(path, [f"*.{suffix}" for suffix in IMAGE_TYPES] if images else patterns))


@contextmanager
def _client_errors() -> Iterator[None]:
    """Faults of a request are told to the client, with a status that says so."""
    try:
        yield
    except RegionTooLargeError as error:
        raise HTTPException(status_code=413, detail=str(error)) from error
    except (ValueError, FileNotFoundError) as error:
        raise HTTPException(status_code=422, detail=" ".join(str(error).split())) from error
    except MONAILabelException as error:
        raise HTTPException(status_code=404, detail=error.msg) from error
