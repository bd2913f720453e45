"""Which classes the labels have: their names in a datalist, and whether labels and names agree."""

from coseg_bundle.data.classes.both import said_of_both
from coseg_bundle.data.classes.check import Labels, check_labels
from coseg_bundle.data.classes.joining import alike, join
from coseg_bundle.data.classes.names import KINDS, class_names_of, names_by_id, table_of, told_by_name

__all__ = [
    "KINDS",
    "Labels",
    "alike",
    "check_labels",
    "class_names_of",
    "join",
    "names_by_id",
    "said_of_both",
    "table_of",
    "told_by_name",
]
