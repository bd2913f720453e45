"""Images and label maps from files: one door, one set of rules for every command, the training and the server."""

from coseg_bundle.data.images.door import (
    HistologyImage,
    check_same_size,
    check_written_by,
    read_image,
    read_instances,
    read_instances_of,
    read_label,
    read_label_of,
    write_tiff,
)
from coseg_bundle.data.images.files import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    MAX_PIXELS,
    ImageFileError,
    composed,
    spellings,
    stem_of,
    suffix_of,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "LABEL_SUFFIXES",
    "MAX_PIXELS",
    "HistologyImage",
    "ImageFileError",
    "check_same_size",
    "check_written_by",
    "composed",
    "read_image",
    "read_instances",
    "read_instances_of",
    "read_label",
    "read_label_of",
    "spellings",
    "stem_of",
    "suffix_of",
    "write_tiff",
]
