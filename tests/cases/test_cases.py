"""Runs the corpus: every case with its command, and exactly what must come of it."""

from __future__ import annotations

import contextlib
import io
import logging
from collections import Counter
from pathlib import Path

import pytest
import torch

from . import (
    checkpoints,
    datalists,
    geojson_files,
    images,
    labels,
    mat_files,
    npy_files,
    pixel_sizes,
    results_json,
    server_requests,
    slides,
    tiffs,
    xml_files,
    zips,
)
from .case import Case, check, snapshot
from .stand_in import stand_in

DOORS = (
    images,
    tiffs,
    pixel_sizes,
    slides,
    labels,
    datalists,
    geojson_files,
    xml_files,
    mat_files,
    npy_files,
    checkpoints,
    zips,
    results_json,
    server_requests,
)
CASES = [case for door in DOORS for case in door.CASES]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch, bundle_root):
    torch.set_num_threads(1)
    monkeypatch.setenv("COSEG_BUNDLE", str(bundle_root))
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.door}-{case.name}")
def test_case(case: Case, tmp_path, monkeypatch):
    folder = tmp_path / "in"
    with stand_in(monkeypatch, with_weights=case.door in ("checkpoints", "server_requests")):
        case.make(folder)
        before = snapshot(folder)
        code, said, result = _done(case, folder)
        found = case.look(folder, result) if case.look and case.right else {}
    check(case, code, said, found)
    after = snapshot(folder)
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert changed <= set(case.writes), "files outside of the results were written"
    assert {path.name for path in tmp_path.iterdir()} == {"in"}


def _done(case: Case, folder: Path) -> tuple[int, str, object]:
    from coseg_bundle.cli import main

    said = io.StringIO()
    listening = logging.StreamHandler(said)
    logging.getLogger("coseg_bundle").addHandler(listening)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            if isinstance(case.do, str):
                return main(case.command), said.getvalue(), None
            return 0, said.getvalue(), case.do(folder)
    except SystemExit as stop:
        return int(stop.code or 0), said.getvalue(), None
    except (ValueError, OSError) as error:
        assert callable(case.do)
        return 1, f"{said.getvalue()}\n{' '.join(str(error).split())}\n", None
    finally:
        logging.getLogger("coseg_bundle").removeHandler(listening)


def test_there_are_enough_and_each_has_a_name():
    assert len(CASES) >= 300
    for door in DOORS:
        assert not [name for name, count in Counter((c.door, c.name) for c in door.CASES).items() if count > 1]
    assert all(case.says or case.right for case in CASES)
    assert all(case.says for case in CASES if case.code == 1)
