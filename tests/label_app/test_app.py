"""What the server is started with, without a server."""

from __future__ import annotations

import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed here; `make test-label` runs these tests")

from coseg_bundle.label_app.app import CoSegApp, MONAILabelApp


@pytest.fixture
def start(bundle_root, tmp_path, monkeypatch):
    """Begins an application with options, as far as our own part of it goes."""
    monkeypatch.setattr(MONAILabelApp, "__init__", lambda *_, **__: None)
    return lambda **conf: CoSegApp(str(tmp_path), str(tmp_path), {"bundle": str(bundle_root), **conf})


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        (
            {"tokens": "SECRET123"},
            r"Unknown options \['tokens'\]: expected, each as --conf NAME VALUE, models, .*token_file",
        ),
        ({"models": "lung"}, r"Unknown models \['lung'\]"),
        ({"max_region_px": "abc"}, "Expected --conf max_region_px as a whole number above 0, got 'abc'"),
        ({"max_upload_mb": "0"}, "Expected --conf max_upload_mb as a whole number above 0, got '0'"),
        ({"weights": "gone.pt"}, "Weights not found: gone.pt does not exist; check --conf weights"),
    ],
)
def test_options_that_there_are_not(start, conf, words):
    """With a misspelt token everybody was let in."""
    with pytest.raises(ValueError, match=words):
        start(**conf)


def test_weights_that_give_way_to_trained_ones_are_said(start, bundle_root, tmp_path, caplog):
    given = str(bundle_root / "models" / "model.pt")
    assert start(weights=given, models="coseg").service.weights.versions() == []
    assert "is not served" not in caplog.text
    (tmp_path / "coseg" / "weights").mkdir(parents=True)
    (tmp_path / "coseg" / "weights" / "coseg_v001.pt").write_bytes(b"")
    start(weights=given)
    assert "model.pt is not served: " in caplog.text
    assert "coseg_v001.pt was trained here; move it away" in caplog.text
