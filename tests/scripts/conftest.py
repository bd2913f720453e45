"""Scripts are no package: a test loads the one that it is of by its path."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture
def script(bundle_root: Path, request: pytest.FixtureRequest):
    """The script of a test file: `scripts/x.py` of `test_x.py`."""
    name = request.path.stem.removeprefix("test_")
    spec = importlib.util.spec_from_file_location(name, bundle_root / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
