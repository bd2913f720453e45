"""The folder of the images and their labels, one change at a time."""

from __future__ import annotations

import filecmp
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from itertools import count
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar, cast

from fastapi import HTTPException
from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag

from coseg_bundle.atomic import whole_file
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.service.training_data import check_label
from coseg_bundle.web.access import DatastoreNameError, file_inside, plain_name, without_folders

logger = logging.getLogger(__name__)

IMAGE_TYPES = ("svs", "ndpi", "mrxs", "scn", "bif", "tif", "tiff", "png", "jpg", "jpeg")
LABEL_TYPES = ("tif", "tiff", "png", "npy", "geojson", "json", "xml")
INFO, FORMER = ".info", ".former"
"""Endings of files beside an image or a label: what a client said of it, and a label that another one replaced."""

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _in_turn(method: _Method) -> _Method:
    """Changes of the index, by requests, by the watcher and by other processes, one after the other: each begins with
    the index as it is."""

    @wraps(method)
    def wrapped(self: ImageFolder, *args: Any, **kwargs: Any) -> Any:
        with self._turn():
            return method(self, *args, **kwargs)

    return cast(_Method, wrapped)


def _settled(method: _Method) -> _Method:
    """Answers are of the index before a change or after it."""

    @wraps(method)
    def wrapped(self: ImageFolder, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return method(self, *args, **kwargs)

    return cast(_Method, wrapped)


class ImageFolder(LocalDatastore):
    """A folder of images whose labels are of other types; MONAI Label's own takes labels (and its index) for images.

    Only regular files count that lie in the folder, links followed; files and the index are replaced whole. What
    clients say of images and labels is kept beside them too: the index forgets it while a file is away.

    Args:
        datastore_path: The folder.
        auto_reload: Whether it is watched.
    """

    def __init__(self, datastore_path: str, auto_reload: bool = False) -> None:
        Path(datastore_path).mkdir(parents=True, exist_ok=True)
        self._lock, self._depth = RLock(), 0
        self._processes = FileLock(str(Path(datastore_path) / ".turn.lock"), thread_local=False)
        self._said: set[str] = set()
        types = [f"*.{suffix}" for suffix in dict.fromkeys((*IMAGE_TYPES, *LABEL_TYPES))]
        super().__init__(datastore_path, extensions=types, auto_reload=auto_reload)
        with self._turn():
            self._keep_what_was_said()
        if auto_reload:
            self._handler.on_moved = self._on_any_event  # so come files that are written whole

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock, self._processes:
            self._depth += 1
            try:
                if self._depth == 1 and hasattr(self, "_datastore"):
                    super()._init_from_datastore_file()
                yield
            finally:
                self._depth -= 1

    def _to_id(self, file: str) -> tuple[str, str]:
        """Name and suffix; MONAI Label's takes the suffix out of the middle too."""
        return os.path.splitext(file)

    def _list_files(self, path: str, patterns: list[str]) -> dict[str, str]:
        images = Path(path).resolve() == Path(self._datastore.image_path()).resolve()
        types = IMAGE_TYPES if images else LABEL_TYPES
        kept: dict[str, str] = {}
        for name in sorted(os.listdir(path), key=lambda name: (not self._is_known(name, path, images), name)):
            own = name == Path(self._datastore_config_path).name or name.endswith(INFO) or FORMER in Path(name).suffix
            if name.startswith(".") or own or (Path(path) / name).is_dir():
                continue
            stem, suffix = self._to_id(name)
            if suffix.lower().lstrip(".") not in types:
                self._leave_out(path, name, f"expected {', '.join(types)}")
            elif not self._inside(Path(path) / name):
                self._leave_out(path, name, "it is no regular file of the folder")
            elif not _is_plain(stem):
                self._leave_out(path, name, "it is no name that requests can use; rename it")
            elif stem in kept:
                self._leave_out(path, name, f"{kept[stem]} has the same name but for the suffix; rename one of them")
            else:
                kept[stem] = name
        return {name: name for name in kept.values()}

    def _is_known(self, name: str, folder: str, images: bool) -> bool:
        """Whether the index has this file, of several with one id: those come first."""
        stem, suffix = self._to_id(name)
        known = self._datastore.objects.get(stem)
        entry = known and (known.image if images else known.labels.get(Path(folder).name))
        return bool(entry and entry.ext == suffix)

    def _leave_out(self, folder: str, name: str, reason: str) -> None:
        sentence = f"{name} is left out: {reason}."
        if f"{folder}: {sentence}" not in self._said:
            self._said.add(f"{folder}: {sentence}")
            logger.warning("%s", sentence)

    def _inside(self, path: str | Path) -> str:
        return str(file_inside(path, self._datastore_path) or "")

    @_settled
    def get_image_uri(self, image_id: str) -> str:
        """The file of an image; empty where there is none in the folder."""
        uri = super().get_image_uri(plain_name(image_id, "image"))
        return self._inside(uri) if uri else ""

    @_settled
    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """The file of a label; empty where there is none in the folder."""
        uri = super().get_label_uri(plain_name(label_id, "label"), plain_name(label_tag, "tag"))
        return self._inside(uri) if uri else ""

    @_settled
    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Images and their final labels."""
        return [d for d in super().datalist(full_path) if not full_path or all(map(self._inside, d.values()))]

    get_image_info = _settled(LocalDatastore.get_image_info)
    get_label_info = _settled(LocalDatastore.get_label_info)
    get_labels_by_image_id = _settled(LocalDatastore.get_labels_by_image_id)
    get_labeled_images = _settled(LocalDatastore.get_labeled_images)
    get_unlabeled_images = _settled(LocalDatastore.get_unlabeled_images)
    list_images = _settled(LocalDatastore.list_images)
    status = _settled(LocalDatastore.status)
    json = _settled(LocalDatastore.json)

    _reconcile_datastore = _in_turn(LocalDatastore._reconcile_datastore)
    _init_from_datastore_file = _settled(LocalDatastore._init_from_datastore_file)

    def _add_non_existing_images(self) -> int:
        known = set(self._datastore.objects)
        added = super()._add_non_existing_images()
        for image_id in self._datastore.objects.keys() - known:
            image = self._datastore.objects[image_id].image
            image.info.update(_info_beside(self._image_file(image_id, image.ext)))
        return int(added)

    def _add_non_existing_labels(self, tag: str) -> int:
        known = {image_id for image_id, image in self._datastore.objects.items() if tag in image.labels}
        added = super()._add_non_existing_labels(tag)
        for image_id, label in ((i, image.labels.get(tag)) for i, image in self._datastore.objects.items()):
            if label is not None and image_id not in known:
                label.info.update(_info_beside(self._label_file(image_id, tag, label.ext)))
        return int(added)

    def _keep_what_was_said(self) -> None:
        """Former versions kept it in the index alone."""
        for image_id, entry in self._datastore.objects.items():
            files = [(self._image_file(image_id, entry.image.ext), entry.image.info)]
            files += [(self._label_file(image_id, tag, label.ext), label.info) for tag, label in entry.labels.items()]
            for path, info in files:
                if path.is_file() and not _beside(path).exists():
                    _put_beside(path, info)

    def _image_file(self, image_id: str, suffix: str) -> Path:
        return Path(self._datastore.image_path()) / self._filename(image_id, suffix)

    def _label_file(self, image_id: str, tag: str, suffix: str) -> Path:
        return Path(self._datastore.label_path(tag)) / self._filename(image_id, suffix)

    @_in_turn
    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Takes an image in, whole or not at all; the same one once more keeps its labels, and what was said of it."""
        suffix = self._to_id(Path(image_filename).name)[1]
        if suffix.lstrip(".").lower() not in IMAGE_TYPES:
            raise HTTPException(
                status_code=422, detail=f"Expected an image ({', '.join(IMAGE_TYPES)}), got {suffix!r}."
            )
        there = self.get_image_uri(plain_name(image_id, "image"))
        path = Path(there) if there else self._image_file(image_id, suffix)
        same = bool(there) and filecmp.cmp(there, image_filename, shallow=False)
        if os.path.lexists(path) and not same:
            raise HTTPException(
                status_code=409,
                detail=f"There is another image {image_id!r} in the datastore; give another id, or delete that one.",
            )
        if same:
            self.update_image_info(image_id, image_info or {})
            return image_id
        with whole_file(path) as partial:
            shutil.copyfile(image_filename, partial)
        info = {**(image_info or {}), "ts": int(time.time()), "name": path.name}
        _put_beside(path, image_info or {})
        self._datastore.objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=suffix))
        self._update_datastore_file()
        return image_id

    @_in_turn
    def remove_image(self, image_id: str) -> None:
        """Removes an image and its labels."""
        if not self.get_image_uri(image_id):
            raise HTTPException(status_code=404, detail=f"There is no image {image_id!r} in the datastore.")
        path = self._image_file(image_id, self._datastore.objects[image_id].image.ext)
        super().remove_image(image_id)
        _beside(path).unlink(missing_ok=True)
        self._reconcile_datastore()

    @_in_turn
    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Removes a label."""
        label = self._datastore.label(label_id, label_tag)
        super().remove_label(label_id, label_tag)
        if label is not None:
            _beside(self._label_file(label_id, label_tag, label.ext)).unlink(missing_ok=True)
        self._reconcile_datastore()

    @_in_turn
    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Saves a label; the one before stands until the new one is whole, and one of another type is put aside."""
        plain_name(label_tag, "tag")
        image = self._datastore.objects.get(plain_name(image_id, "image"))
        if image is None:
            raise HTTPException(status_code=404, detail=f"There is no image {image_id!r} in the datastore.")
        suffix = self._to_id(Path(label_filename).name)[1]
        if suffix.lstrip(".").lower() not in LABEL_TYPES:
            raise HTTPException(
                status_code=422, detail=f"Expected a label ({', '.join(LABEL_TYPES)}), got {suffix[:20]!r}."
            )
        path = self._label_file(image_id, label_tag, suffix)
        if label_tag != DefaultLabelTag.ORIGINAL:  # those are answers of ours
            try:
                check_label(Path(label_filename), self._image_file(image_id, image.image.ext), label_info or {})
            except ImageFileError as error:
                raise HTTPException(status_code=422, detail=without_folders(str(error))) from error
        if not path.parent.resolve().is_relative_to(Path(self._datastore_path).resolve()):
            raise HTTPException(status_code=422, detail=f"The labels of {label_tag!r} do not lie in the folder.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            shutil.copyfile(label_filename, partial)
        _put_beside(path, label_info or {})
        for former in list(path.parent.iterdir()):
            stem, ending = self._to_id(former.name)
            is_label = stem == image_id and ending.lower().lstrip(".") in LABEL_TYPES and former.is_file()
            if is_label and not former.samefile(path):
                _put_aside(former)
        info = {**(label_info or {}), "ts": int(time.time()), "name": path.name}
        image.labels[label_tag] = DataModel(info=info, ext=suffix)
        self._update_datastore_file()
        return image_id

    @_in_turn
    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Adds to what is said of an image."""
        super().update_image_info(image_id, info)
        image = self._datastore.objects[image_id].image
        _put_beside(self._image_file(image_id, image.ext), image.info)

    @_in_turn
    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Adds to what is said of a label."""
        super().update_label_info(label_id, label_tag, info)
        label = self._datastore.objects[label_id].labels[label_tag]
        _put_beside(self._label_file(label_id, label_tag, label.ext), label.info)

    def _update_datastore_file(self, lock: bool = True) -> None:
        path = Path(self._datastore_config_path)
        with FileLock(self._lock_file) if lock else nullcontext():
            self._ignore_event_config = True
            with whole_file(path) as partial:
                content = self._datastore.model_dump(exclude={"base_path"})
                partial.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")
            self._config_ts = path.stat().st_mtime


def whole_names(add_image: Callable[..., Any]) -> Callable[..., Any]:
    """MONAI Label's endpoint for uploads with ids from whole file names: its own ends them at the first dot."""

    @wraps(add_image)
    def named(background_tasks: Any, image: str | None, params: str, file: Any, user: str | None = None) -> Any:
        return add_image(background_tasks, image or Path(file.filename or "").stem, params, file, user)

    return named


def _is_plain(name: str) -> bool:
    try:
        return bool(plain_name(name, "image"))
    except DatastoreNameError:
        return False


def _beside(path: Path) -> Path:
    return path.with_name(path.name + INFO)


def _put_beside(path: Path, info: dict[str, Any]) -> None:
    """Keeps what a client said of a file, with the size of the file: of another one it does not hold."""
    said = {name: value for name, value in info.items() if name not in ("ts", "name")}
    if not said:
        _beside(path).unlink(missing_ok=True)
        return
    with whole_file(_beside(path)) as partial:
        content = {"bytes": path.stat().st_size, "info": said}
        partial.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")


def _info_beside(path: Path) -> dict[str, Any]:
    """What was kept of a file that is back; nothing of another file."""
    try:
        content = json.loads(_beside(path).read_text(encoding="utf-8"))
        if content["bytes"] == path.stat().st_size:
            return dict(content["info"])
        logger.warning("%s: the file is another than %s is about, which is not used.", path.name, _beside(path).name)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, LookupError, TypeError) as error:
        logger.warning("%s cannot be read: %s", _beside(path).name, error)
    return {}


def _put_aside(label: Path) -> None:
    """Renames a label that another one replaced, so that it is none: `a.png.former`, then `a.png.former-2`."""
    for number in count(1):
        aside = label.with_name(f"{label.name}{FORMER}{f'-{number}' if number > 1 else ''}")
        if not os.path.lexists(aside):
            break
    label.replace(aside)
    if _beside(label).exists():
        _beside(label).replace(_beside(aside))
