from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of results of a slide."""
    from view_results import write_slide_results

    return write_slide_results(tmp_path)


@pytest.fixture
def result(folder: Path):
    from coseg_bundle.view.results import open_result

    return open_result(folder)


@pytest.fixture
def known_service():
    from view_results import KnownService

    return KnownService()
