"""The application: what MONAI Label asks for, by name."""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.exception import MONAILabelException
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random

import coseg_bundle
from coseg_bundle.bundle_root import WEIGHTS, find_bundle_root
from coseg_bundle.label_app.guard import stand_before
from coseg_bundle.label_app.image_folder import ImageFolder, whole_names
from coseg_bundle.label_app.tasks import (
    AnnotationTrainTask,
    DisagreementStrategy,
    SegmentAllTask,
    SegmentationTask,
    mpp_of,
)
from coseg_bundle.service.segmentation import MAX_PX, RegionTooLargeError, SegmentationService
from coseg_bundle.service.weights import WeightsFolder
from coseg_bundle.web.access import Access, file_inside, plain_name, without_folders

logger = logging.getLogger(__name__)

MODELS = ("coseg",)
OPTIONS = (
    *("models", "bundle", "weights", "device", "precision", "max_region_px", "max_upload_mb"),
    *("allowed_hosts", "allowed_origins", "token", "token_file"),
)
"""What may be given with `--conf`: a misspelt token left the server open."""

_OF_MONAI_LABEL = ("server_mode", "preload", "auth_token")
MAX_UPLOAD_MB = 4096
"""Larger requests are refused."""


class CoSegApp(MONAILabelApp):
    """Annotate nuclei and tissue with Co-Seg.

    Options (`--conf NAME VALUE`): `models` (`coseg`, the only family there is), `bundle` (the bundle's folder),
    `weights` (a file to start from instead of the bundle's), `device`, `precision` (`auto`, `fp32`, `bf16` or
    `fp16`), `max_region_px` (largest region, px at the network's resolution), `max_upload_mb`, and who is answered:
    `allowed_hosts`, `allowed_origins`, `token`, `token_file` (see `Access`).

    Args:
        app_dir: This folder.
        studies: Folder of the images.
        conf: Options.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str] | None) -> None:
        conf = conf or {}
        if others := sorted(conf.keys() - {*OPTIONS, *_OF_MONAI_LABEL}):
            raise ValueError(f"Unknown options {others}: expected, each as --conf NAME VALUE, {', '.join(OPTIONS)}.")
        unknown = [name for name in conf.get("models", "coseg").split(",") if name.strip() not in (*MODELS, "all")]
        if unknown:
            raise ValueError(f"Unknown models {unknown}: expected --conf models coseg.")
        settings.MONAI_LABEL_AUTO_UPDATE_SCORING = False
        settings.MONAI_LABEL_SESSIONS = False  # they keep images outside the studies
        self.access = Access.of(conf)
        self.max_bytes = _whole_number(conf, "max_upload_mb", MAX_UPLOAD_MB) * 1_000_000
        self._uploads: Path | None = None
        root = find_bundle_root(conf.get("bundle"))
        initial = Path(conf["weights"]) if conf.get("weights") else root / WEIGHTS
        if conf.get("weights") and not initial.is_file():
            raise ValueError(f"Weights not found: {initial} does not exist; check --conf weights.")
        self.folder = Path(studies) / "coseg"
        weights = WeightsFolder(self.folder / "weights", initial)
        if conf.get("weights") and weights.versions():
            newest = weights.versions()[-1]
            logger.warning("%s is not served: %s was trained here; move it away to begin with others.", initial, newest)
        self.service = SegmentationService(
            root,
            weights,
            conf.get("device"),
            _whole_number(conf, "max_region_px", MAX_PX),
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

    def server_mode(self, mode: bool) -> None:
        """Called when the server starts: puts the guard in front of it, and uploads in a folder of their own."""
        super().server_mode(mode)
        if mode and self._uploads is None:
            from monailabel.app import app
            from monailabel.endpoints import datastore as endpoints

            endpoints.add_image = whole_names(endpoints.add_image)
            stand_before(app, self.access, self.max_bytes, names=not self._is_remote())
            self._uploads = Path(tempfile.mkdtemp(prefix="coseg-uploads-"))
            tempfile.tempdir = str(self._uploads)
            atexit.register(shutil.rmtree, self._uploads, ignore_errors=True)

    def _is_remote(self) -> bool:
        return str(self.studies).startswith(("http://", "https://"))

    def init_datastore(self) -> Any:
        """The folder of the images, or a remote store."""
        if self._is_remote():
            return super().init_datastore()
        return ImageFolder(self.studies, auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD)

    def init_infers(self) -> dict[str, SegmentationTask]:
        """Three models, one network pass."""
        return {
            "coseg": SegmentationTask(self.service, "coseg", ("nuclei", "tissue")),
            "coseg_nuclei": SegmentationTask(self.service, "coseg_nuclei", ("nuclei",)),
            "coseg_tissue": SegmentationTask(self.service, "coseg_tissue", ("tissue",)),
        }

    def init_batch_infer(self) -> SegmentAllTask:
        """All images, one after the other."""
        return SegmentAllTask()

    def init_trainers(self) -> dict[str, AnnotationTrainTask]:
        """One trainer for both tasks."""
        return {"coseg": AnnotationTrainTask(self.service, self.folder)}

    def init_strategies(self) -> dict[str, Any]:
        """What to annotate next."""
        return {"random": Random(), "first": First(), "coseg_disagreement": DisagreementStrategy(self.service)}

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Segments an image or a region of it."""
        store, model, image = datastore or self.datastore(), request.get("model"), request.get("image")
        with _client_errors():
            if (task := self._infers.get(model)) is None:
                raise HTTPException(status_code=404, detail=f"There is no model {str(model)[:60]!r} here.")
            tag = plain_name(request.get("label_tag") or "original", "label_tag")
            given = {**request, "image": str(self._image(image, store))}
            if not given.get("mpp") and self._sent_along(image) is None:
                given["mpp"] = mpp_of(store, str(image))
            if request.get("label"):
                given["label"] = str(self._upload(request["label"], "label"))
            file, about = task(given)
            label = file
            if file and request.get("save_label") and self._sent_along(image) is None:
                said = {"mpp": given["mpp"]} if given.get("mpp") else {}
                label = store.save_label(image, file, tag, {"model": model, "params": about, **said})
        return {"label": label, "tag": tag, "file": file, "params": about}

    def _image(self, image: Any, store: Any) -> Path | str:
        """The file of an image: one of the datastore, or one that came with the request."""
        if (sent := self._sent_along(image)) is not None:
            return sent
        name = str(image) if self._is_remote() else plain_name(image, "image")
        if not (uri := store.get_image_uri(name)):
            raise HTTPException(
                status_code=404, detail=f"There is no image {name!r} in the datastore; upload it first."
            )
        return str(uri)

    def _sent_along(self, value: Any) -> Path | None:
        """What came with a request lies in the folder of the uploads, under a name that nobody outside knows."""
        return file_inside(value, self._uploads) if self._uploads and isinstance(value, str) else None

    def _upload(self, value: Any, what: str) -> Path:
        if (sent := self._sent_along(value)) is None:
            raise ValueError(f"Expected the {what} as a file that is sent along.")
        return sent

    def infer_wsi(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Segments a region of a slide: the same as `infer`; tiles are our own business, so `tile_size` is not used."""
        wanted = request.get("output") or request.get("format") or "dsa"
        return self.infer({**request, "format": wanted}, datastore)

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """The image to annotate next."""
        with _client_errors():
            return dict(super().next_sample(request))


@contextmanager
def _client_errors() -> Iterator[None]:
    """Faults of a request are told to the client, with a status that says so."""
    try:
        yield
    except RegionTooLargeError as error:
        raise HTTPException(status_code=413, detail=without_folders(str(error))) from error
    except (ValueError, FileNotFoundError) as error:
        raise HTTPException(status_code=422, detail=without_folders(str(error))) from error
    except MONAILabelException as error:
        raise HTTPException(status_code=404, detail=without_folders(error.msg)) from error


def _whole_number(conf: Mapping[str, str], name: str, default: int) -> int:
    given = str(conf.get(name, default))
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"Expected --conf {name} as a whole number above 0, got {given!r}.")
    return int(given)
