"""The key strings of datalist items, batches and engine outputs: each exists once, here."""

IMAGE = "image"
"""RGB `(3, H, W)`, float in [0, 1]."""

INSTANCES = "instances"
"""Label: instance map `(1, H, W)`, 0 background, -1 unlabelled."""

TYPES = "types"
"""Label: type map `(1, H, W)`, 0 background, 255 unlabelled."""

TISSUE = "tissue"
"""Label: tissue map `(1, H, W)`, 255 unlabelled."""

LABELS = (INSTANCES, TYPES, TISSUE)

NUCLEI = "nuclei"
"""Target made of the instances: nuclei mask `(1, H, W)`, 0, 1 or 255 (unlabelled)."""

HV_MAP = "hv_map"
"""Target made of the instances: hv map `(2, H, W)` in [-1, 1]."""

TAUGHT = "taught"
"""Target that teachers give: `pred` up to the disagreement, `(C, H, W)`."""

MPP = "mpp"
DATASET = "dataset"
PRED = "pred"

PRED_INSTANCES = "pred_instances"
"""Result: instance map `(1, H, W)` int32."""

PRED_TISSUE = "pred_tissue"
"""Result: tissue map `(1, H, W)` uint8."""

PRED_TYPES = "pred_types"
"""Result: type map `(1, H, W)` uint8, the class of each nucleus on its pixels."""

PRED_TABLE = "pred_table"
"""Result: the instance table."""
