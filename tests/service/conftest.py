from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def colour_bundle(tmp_path: Path, bundle_root: Path) -> Path:
    from colour_network import write_bundle

    return write_bundle(tmp_path / "bundle", bundle_root)


@pytest.fixture
def service(colour_bundle: Path, tmp_path: Path):
    """A service with the stand-in network."""
    from coseg_bundle.service.segmentation import SegmentationService
    from coseg_bundle.service.weights import WeightsFolder

    return SegmentationService(colour_bundle, WeightsFolder(tmp_path / "weights", colour_bundle / "models/model.pt"))
