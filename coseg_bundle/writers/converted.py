"""What `coseg convert` wrote beside results, and whether it still is that: only then another may take its place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coseg_bundle.fingerprint import fingerprint, is_junk
from coseg_bundle.writers.folders import ResultsFolderError
from coseg_bundle.writers.summary import BrokenRecordError, read_record

NUCLEI_DICOM, TISSUE_DICOM, SPATIALDATA = "nuclei.dcm", "tissue.dcm", "spatialdata.zarr"
CONVERTED = NUCLEI_DICOM, TISSUE_DICOM, SPATIALDATA

DICOM_MODEL = "coseg-bundle"
"""Manufacturer's model name of our DICOM files."""

ATTRIBUTE, CONTENT = "coseg", "content"
"""Where SpatialData says that it is ours, and in it the content of its parts."""

_MODEL_TAG = b"\x08\x00\x90\x10LO" + len(DICOM_MODEL).to_bytes(2, "little") + DICOM_MODEL.encode()
"""The model name as a DICOM file has it: it is read without pydicom, which an installation may lack."""

_HEAD = 2**16
_ATTRIBUTES = {"zarr.json": "attributes", ".zattrs": None}
"""Files of a Zarr group that hold its attributes, and their name in there."""

_GROUP = (*_ATTRIBUTES, ".zgroup", ".zmetadata", "zmetadata")
_OURS = {ATTRIBUTE, "boundaries_shapes", "spatialdata_attrs"}
_BEFORE = {
    "labels",
    "labels/tissue_labels",
    "shapes",
    "shapes/nuclei",
    "shapes/tissue",
    "tables",
    "tables/nuclei_table",
}
"""What lies in folders of former versions, which do not say their content."""


def check_converted(folder: Path, *names: str) -> None:
    """Keeps what somebody else wrote, or changed, from being replaced or removed.

    Args:
        folder: The folder of results.
        names: What is to be replaced, of `CONVERTED`.

    Raises:
        ResultsFolderError: There is something of that name, and it is not as `coseg convert` wrote it.
    """
    for name in names:
        path = folder / name
        if os.path.lexists(path) and not (_is_spatialdata(path) if name == SPATIALDATA else _is_dicom(path)):
            raise ResultsFolderError(
                f"{path} is not as coseg convert wrote it: another program did, or changed it since; move it "
                "elsewhere, and run the command again."
            )


def content_of_parts(spatialdata: Path) -> dict[str, str]:
    """Fingerprints of what lies in a SpatialData folder, by name, but for what describes the folder itself."""
    parts = sorted(item for item in spatialdata.iterdir() if item.name not in _GROUP and not is_junk(item.name))
    return {item.name: fingerprint(item) for item in parts}


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head[128:132] == b"DICM" and _MODEL_TAG in head


def _is_spatialdata(path: Path) -> bool:
    attributes = _attributes(path)
    said = attributes.get(ATTRIBUTE)
    if not isinstance(said, Mapping) or not attributes.keys() <= _OURS:
        return False
    if CONTENT in said:
        return bool(content_of_parts(path) == said[CONTENT])
    elements = {item for part in path.iterdir() if part.name not in _GROUP for item in (part, *_folders(part))}
    return {str(item.relative_to(path)) for item in elements} <= _BEFORE


def _folders(path: Path) -> list[Path]:
    return [item for item in path.iterdir() if item.is_dir()] if path.is_dir() else []


def _attributes(group: Path) -> Mapping[str, Any]:
    for name, inner in _ATTRIBUTES.items():
        try:
            record = read_record(group / name)
        except (OSError, BrokenRecordError):
            continue
        found = record.get(inner) if inner else record
        return found if isinstance(found, Mapping) else {}
    return {}
