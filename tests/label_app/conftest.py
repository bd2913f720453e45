from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the bundle of the stand-in network names it `colour_network.ColourNetwork`


@pytest.fixture
def colour_bundle(tmp_path: Path, bundle_root: Path) -> Path:
    from colour_network import write_bundle

    return write_bundle(tmp_path / "bundle", bundle_root)


@pytest.fixture
def service(colour_bundle: Path, tmp_path: Path):
    """A service with the stand-in network."""
    from coseg_bundle.label_app.service import SegmentationService
    from coseg_bundle.label_app.weights import WeightsFolder

    return SegmentationService(colour_bundle, WeightsFolder(tmp_path / "weights", colour_bundle / "models/model.pt"))
