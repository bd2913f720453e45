"""A page that opens without a server: the same page, its tiles as pictures, its tables as scripts and as they are."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from coseg_bundle.atomic import carry_over, whole_folder
from coseg_bundle.fingerprint import is_junk
from coseg_bundle.view.desk import REGIONS, Desk
from coseg_bundle.view.results import Result
from coseg_bundle.view.sheets import nuclei_csv
from coseg_bundle.view.tiles import Address, addresses, level_count
from coseg_bundle.writers.corrections import doubts_about
from coseg_bundle.writers.folders import check_own

PAGE = Path(__file__).parent / "page"
_MARK = "coseg-page"
"""A file that says that a folder was made here, and may be replaced."""

_KEPT = ("nuclei.parquet", "nuclei.geojson", "tissue.geojson", "summary.json", REGIONS)
"""Files of the results that go along as they are, beside the table as CSV."""


_TABLE = "nuclei.csv"


def export_page(results: list[Result], folder: Path, finest: float | None = None) -> Iterator[Path]:
    """Writes the page; yields it when it is whole.

    Args:
        results: What is shown.
        folder: Replaced if it is such a page, but for what a person put there; made if it does not exist.
        finest: Microns per pixel of the finest tiles of images whose resolution is known; all levels otherwise.

    Raises:
        ResultsFolderError: A file that goes along is gone, or of other results.
        ValueError: The folder exists and is something else.
    """
    if folder.exists() and not (folder / _MARK).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is no page of coseg view; give another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as partial:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(PAGE, partial / "page", ignore=shutil.ignore_patterns("*.html", "__pycache__"))
        index = (
            (PAGE / "index.html")
            .read_text(encoding="utf-8")
            .replace('<html lang="en">', '<html lang="en" data-exported>')
        )
        (partial / "index.html").write_text(index, encoding="utf-8")
        (partial / _MARK).write_text("Made by coseg view --export; replaced by the next one.\n", encoding="utf-8")
        listed = [{"name": result.title, "kind": result.kind} for result in results]
        _hand_over(partial, "results.json", listed)
        for number, result in enumerate(results):
            _write_result(partial, str(number), result, finest)
        carry_over(folder, partial, _is_own)
    yield folder / "index.html"


def _is_own(place: Path) -> bool:
    """Whether a file of a page, by its path in there, was written here."""
    first, *rest = place.parts
    if first == "tables":
        return (len(rest) == 2 and rest[1] in (*_KEPT, _TABLE)) or is_junk(place.name)
    return first in ("page", "index.html", "results.json.js", _MARK) or first.isdecimal() or is_junk(place.name)


def _write_result(root: Path, number: str, result: Result, finest: float | None) -> None:
    desk = Desk(result)
    first = 0
    while finest and result.mpp and result.mpp * 2 ** (first + 1) <= finest * 1.001:
        first += 1
    first = min(first, level_count(result.size_xy) - 1)
    about = {**desk.about(), "finest": first}
    about["notes"] = [note for note in about["notes"] if not note.startswith("The image is not shown")] + (
        [] if desk.image_tiles else ["The image is not shown: it was not there when the page was exported."]
    )
    about["notes"] += [f"{said[0].upper()}{said[1:]}." for said in doubts_about(result.folder, ())]
    _hand_over(root, f"{number}/about.json", about)
    _hand_over(root, f"{number}/tissue.json", result.tissue_regions)
    _hand_over(root, f"{number}/regions.json", desk.saved_regions())
    for name in ("xy", "id", *result.nuclei.columns):
        _hand_over(root, f"{number}/columns/{name}.bin", desk.column(name))
    for column, row in result.nuclei.cells():
        content = result.nuclei.packed_outlines(column, row)
        _hand_over(root, f"{number}/outlines/{column}_{row}.bin", content)
    places = [
        place for level in range(first, level_count(result.size_xy)) for place in addresses(result.size_xy, level)
    ]
    if desk.image_tiles:
        _write_tiles(root / number / "tiles", "jpg", places, desk.image_tiles.jpeg)
    tissue = desk.tissue_tiles
    for class_id in range(1, len(result.tissue_classes)):
        _write_tiles(root / number / "tissue" / str(class_id), "png", places, partial(tissue.png, (class_id,)))
    tables = root / "tables" / result.name if number == "0" else root / "tables" / f"{number} {result.name}"
    tables.mkdir(parents=True)
    check_own(result.folder, result.summary, *_KEPT)
    for name in _KEPT:
        if (result.folder / name).is_file():
            shutil.copyfile(result.folder / name, tables / name)
    with (tables / _TABLE).open("w", encoding="utf-8", newline="") as file:
        file.writelines(nuclei_csv(result, []))


def _write_tiles(folder: Path, suffix: str, places: list[Address], make: Callable[[Address], bytes | None]) -> None:
    """Pictures of every place; those that are empty are left out."""
    for level, column, row in places:
        if (content := make((level, column, row))) is not None:
            path = folder / str(level) / f"{column}_{row}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _hand_over(root: Path, path: str, content: Any) -> None:
    """An answer of the server as a script, which a page from the disk may load."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    file = root / f"{path}.js"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'source.receive("{path}","{base64.b64encode(raw).decode()}")\n', encoding="ascii")
