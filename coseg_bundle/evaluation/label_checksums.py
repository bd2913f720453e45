"""Which labels an image was scored on, in a few letters: reports of one image may have judged it by different ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from coseg_bundle import keys
from coseg_bundle.data.classes import KINDS
from coseg_bundle.data.datalist import read_class_tables
from coseg_bundle.fingerprint import fingerprint


def label_checksums(items: Iterable[Mapping[str, Any]], dataset_file: str | PathLike[str]) -> dict[str, dict[str, str]]:
    """A checksum of each kind of label that an image has, by the image's path.

    A kind differs where its file does, wherever it lies, and, of class maps, where the datalist names other classes.

    Args:
        items: Items of a datalist, with absolute paths.
        dataset_file: The datalist.

    Raises:
        DatalistError: The datalist cannot be read.
        OSError: A label cannot be read.
    """
    tables = {KINDS[kind]: table for kind, table in read_class_tables(dataset_file).items()}
    return {
        item[keys.IMAGE]: {key: _checksum(Path(item[key]), tables.get(key)) for key in keys.LABELS if key in item}
        for item in items
    }


def _checksum(label: Path, names: Mapping[str, str] | None) -> str:
    said = json.dumps(names, sort_keys=True)
    return hashlib.sha256(f"{fingerprint(label)} {said}".encode()).hexdigest()[:8]
