"""Training targets made from the labels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from skimage.measure import label

from coseg_bundle import keys
from coseg_bundle.classes import UNLABELLED, UNLABELLED_INSTANCE
from coseg_bundle.transforms.hv_maps import hv_map


class NucleiTargetsd(Transform):
    """Makes the nuclei mask and the hv map from the instances, after every geometric augmentation.

    Each connected piece has an hv map of its own: a nucleus near the border of an image and its mirrored copy have one
    id, but not one centre.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Adds `nuclei` `(1, H, W)` int32 (0, 1, 255) and `hv_map` `(2, H, W)` float32."""
        instances = np.asarray(data[keys.INSTANCES])[0].astype(np.int64)  # some number nuclei beyond int32
        nuclei = np.where(instances == UNLABELLED_INSTANCE, UNLABELLED, instances > 0).astype(np.int32)
        pieces = label(np.maximum(instances, 0), connectivity=2)
        return {
            **data,
            keys.NUCLEI: torch.from_numpy(nuclei[None]),
            keys.HV_MAP: torch.from_numpy(hv_map(pieces)),
        }
