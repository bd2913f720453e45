"""Loads one datalist item: image and labels, checked against each other, completed with "unlabelled"."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.classes import UNLABELLED, UNLABELLED_INSTANCE
from coseg_bundle.data.images import ImageFileError, read_image, read_instances_of, read_label_of
from coseg_bundle.data.labels.maps import untyped
from coseg_bundle.postprocessing.resample import resample_image, size_at
from coseg_bundle.settings.values import SAME_SCALE

logger = logging.getLogger(__name__)

_UNLABELLED = {keys.INSTANCES: UNLABELLED_INSTANCE, keys.TYPES: UNLABELLED, keys.TISSUE: UNLABELLED}


Merging = Sequence[int] | Mapping[str, Sequence[int]]


class LoadHistologyd(Transform):
    """Reads the files of an item `{"image": path, "instances"?: path, "types"?: path, "tissue"?: path, ...}`.

    A label that the item lacks becomes a map of unlabelled pixels, so that items with different labels batch; nuclei of
    type 0 are of unlabelled type (`labels.maps.untyped`). A label may be a whole multiple of the size of the image, as
    `coseg puma prepare --oversample` paints it: it is brought to the network's size in one step.
    MONAI's `LoadImaged` is not used: it reads labels as floats, transposes images, and after an error tries its other
    readers, so that the sentence that names the fault is lost.

    Args:
        tissue_classes: Number of tissue classes C_t.
        nuclei_types: Number of nuclei classes C_n; without any no type map is loaded.
        labels: Whether to load labels at all.
        mpp: Resolution of the network, microns per pixel. An item with an `mpp` of its own is resampled to it: the
            image with filtering, labels by nearest neighbours. Without it every item is taken as it is.
        tissue_merge: Class id for each tissue id of the label files, by position, to merge or renumber classes; 255
            takes the pixels of a class out. Label files count as they are without it. Datasets with class ids of their
            own have a list each: `{dataset: list}`, by the item's `dataset`; those not named count as they are.
        nuclei_merge: The same for type maps.

    Raises:
        ValueError: `mpp` is no number above 0.
        ImageFileError: A file is unreadable, a label's size is no whole multiple of the image's, its axes are not the
            image's, or a class id is unknown; the message names the file.
    """

    def __init__(
        self,
        tissue_classes: int,
        nuclei_types: int = 0,
        labels: bool = True,
        mpp: float | None = None,
        tissue_merge: Merging | None = None,
        nuclei_merge: Merging | None = None,
    ) -> None:
        if mpp is not None and not 0 < mpp < math.inf:
            raise ValueError(f"Expected an mpp (microns per pixel of the network) above 0, got {mpp}; 0.25 is 40x.")
        self.mpp = mpp
        self.merge = {keys.TISSUE: tissue_merge, keys.TYPES: nuclei_merge}
        self.highest = {keys.TISSUE: tissue_classes - 1, keys.TYPES: nuclei_types}
        self.label_keys = [key for key in keys.LABELS if labels and (nuclei_types or key != keys.TYPES)]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Returns the image as `(3, H, W)` float32 in [0, 1], the labels as `(1, H, W)` int32, nuclei numbered from 1.

        The image's `meta` says its file (`filename_or_obj`) and the size it has there (`spatial_shape`).
        """
        item, notes = self.read(data)
        _say(notes)
        return item

    def read(self, data: Mapping[Hashable, Any]) -> tuple[dict[Hashable, Any], tuple[str, ...]]:
        """The same, and sentences on how the labels were read, which it does not say."""
        data = {key: value for key, value in data.items() if value is not None}  # JSON's null
        image = read_image(data[keys.IMAGE])
        shape = image.rgb.shape[:2]
        mpp = data.get(keys.MPP)
        size = size_at(shape, mpp, self.mpp) if self.mpp is not None else shape
        if self.mpp is not None and mpp is None:
            if image.mpp and abs(image.mpp / self.mpp - 1) > SAME_SCALE:
                _say((_UNSAID.format(said=image.mpp, taken=self.mpp),))
            elif image.mpp_refusal:
                _say((f"{image.mpp_refusal} It counts as {self.mpp}.",))
        rgb = torch.tensor(resample_image(image.rgb, size)).permute(2, 0, 1).float().div_(255)
        item = {key: value for key, value in data.items() if key not in keys.LABELS}
        item[keys.IMAGE] = MetaTensor(
            rgb.contiguous(), meta={"filename_or_obj": str(image.path), "spatial_shape": np.array(shape)}
        )
        notes: tuple[str, ...] = ()
        instances: NDArray[np.int32] | None = None
        for key in self.label_keys:  # the instances first
            if key not in data:
                item[key] = torch.full((1, *size), _UNLABELLED[key], dtype=torch.int32)
                continue
            if key == keys.INSTANCES:
                label, notes = read_instances_of(image.path, shape, data[key], size)
                instances = label = _numbered(label)
            else:
                label = self._classes(data, key, read_label_of(image.path, shape, data[key], size), instances)
            item[key] = torch.from_numpy(label)[None]
        return item, notes

    def _classes(
        self, data: Mapping[Hashable, Any], key: str, label: NDArray[np.int32], instances: NDArray[np.int32] | None
    ) -> NDArray[np.int32]:
        """Class ids as the network counts them; the type of nuclei without one is unlabelled."""
        merged = self._merged(label, key, str(data.get(keys.DATASET, "")), str(data[key]))
        if key == keys.TYPES and instances is not None:
            unknown = untyped(label, instances) & (merged == 0)  # a merge may number classes from 0
            merged = np.where(unknown, UNLABELLED, merged).astype(np.int32)
        self._check_ids(merged, key, str(data[key]))
        return merged

    def _merged(self, label: NDArray[np.int32], key: str, dataset: str, path: str) -> NDArray[np.int32]:
        table = self.merge.get(key)
        if isinstance(table, Mapping):
            table = table.get(dataset)
        if table is None:
            return label
        known = (label >= 0) & (label < len(table))
        if unknown := np.unique(label[~known & (label != UNLABELLED)]).tolist():
            raise ImageFileError(
                f"{path}: class ids {unknown} for {key} have no place in the merging list, which has {len(table)} "
                "entries; mend the label or the list in the configuration."
            )
        return np.where(known, np.asarray(table, np.int32)[np.where(known, label, 0)], UNLABELLED).astype(np.int32)

    def _check_ids(self, label: NDArray[np.int32], key: str, path: str) -> None:
        if key not in self.highest:
            return
        known = (label == UNLABELLED) | ((label >= 0) & (label <= self.highest[key]))
        if unknown := np.unique(label[~known]).tolist():
            raise ImageFileError(
                f"{path}: unknown class ids {unknown} for {key}; expected 0 to {self.highest[key]} or {UNLABELLED} "
                "(unlabelled); mend the label or the class list in the configuration."
            )


def _numbered(instances: NDArray[np.int32]) -> NDArray[np.int32]:
    """Nuclei 1 to N in the order of their ids: MONAI bends maps as float32, to which ids above 2**24 are alike."""
    inside = instances > 0
    numbered = instances.copy()
    numbered[inside] = np.unique(instances[inside], return_inverse=True)[1] + 1
    return numbered


_UNSAID = (
    "Images that say {said:.4g} um per pixel count as {taken}: `coseg datalist` writes what files say into its list, "
    "`coseg predict` reads it."
)


@cache
def _say(notes: tuple[str, ...]) -> None:
    """Says how a file was read; not again in every epoch."""
    for note in notes:
        logger.warning("%s", note)
