"""Post-processing as a MONAI transform, for evaluators."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform

from coseg_bundle import keys
from coseg_bundle.postprocessing.prediction import PostProcessing


class SegmentMapsd(Transform):
    """Turns `pred` `(C, H, W)` into `pred_instances` `(1, H, W)` int32 and `pred_tissue` `(1, H, W)` uint8.

    Args:
        postprocessing: What turns the network's output into maps.
        table: Whether to add the instance table too, as `pred_table`, and the classes in it as `pred_types`
            `(1, H, W)` uint8.
    """

    def __init__(self, postprocessing: PostProcessing, table: bool = False) -> None:
        self.postprocessing, self.table = postprocessing, table

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Adds the maps to one item."""
        item = dict(data)
        pred = torch.as_tensor(data[keys.PRED]).detach().float().cpu().numpy()
        if self.table:
            prediction = self.postprocessing(pred)
            instances, tissue = prediction.instance_map, prediction.tissue_map
            item[keys.PRED_TABLE] = table = prediction.instances
            type_of = np.zeros(instances.max(initial=0) + 1, np.uint8)
            type_of[table.instance_id] = table.type_id
            item[keys.PRED_TYPES] = torch.from_numpy(type_of[instances][None])
        else:
            instances, tissue = self.postprocessing.maps(pred)
        item[keys.PRED_INSTANCES] = torch.from_numpy(instances[None])
        item[keys.PRED_TISSUE] = torch.from_numpy(tissue[None])
        return item


class ForgetClassesd(Transform):
    """Takes classes that labels do not know for the first one, in `pred_tissue` and `pred_types`, where they are there.

    Args:
        tissue: Ids of tissue classes.
        types: Ids of nuclei classes; the nuclei stay.
    """

    def __init__(self, tissue: Sequence[int] = (), types: Sequence[int] = ()) -> None:
        self.ids = {keys.PRED_TISSUE: tuple(tissue), keys.PRED_TYPES: tuple(types)}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Changes the maps of one item."""
        item = dict(data)
        for key, ids in self.ids.items():
            if ids and key in item:
                item[key] = item[key].clone()
                item[key][torch.isin(item[key], torch.tensor(ids, dtype=item[key].dtype))] = 0
        return item
