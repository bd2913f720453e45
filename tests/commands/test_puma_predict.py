import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from coseg_bundle.classes import NUCLEI_PRESETS, TISSUE_PRESETS
from coseg_bundle.cli import main
from coseg_bundle.inferers import Predictor
from coseg_bundle.networks import About, HeadLayout, save_released
from coseg_bundle.writers.puma_challenge import INPUT_FOLDER, NUCLEI_FILE, TISSUE_FOLDER

PUMA = TISSUE_PRESETS["puma"].names, NUCLEI_PRESETS["puma_track1"].names
OTHERS = ("background", "gland"), ("background", "nucleus")


@pytest.mark.parametrize(
    ("classes", "untrained", "message"),
    [(OTHERS, (), "got others"), (PUMA, ("tissue",), "got some without labels for tissue")],
)
def test_weights_that_are_none_of_puma(make_network, tmp_path, capsys, classes, untrained, message):
    (tmp_path / INPUT_FOLDER).mkdir(parents=True)
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(tmp_path / INPUT_FOLDER / "a.tif")
    tissue, nuclei = classes
    network = make_network(HeadLayout(len(tissue), len(nuclei) - 1 if len(nuclei) > 2 else 0), subpixel=2).eval()
    about = About.of(network, tissue_classes=tissue, nuclei_classes=nuclei, mpp=0.25, untrained=untrained)
    save_released(network, tmp_path / "mine.pt", about.to_tensor())
    arguments = ["--input", str(tmp_path), "--output", str(tmp_path / "out"), "--weights", str(tmp_path / "mine.pt")]
    assert main(["puma", "predict", "--track", "1", *arguments]) == 1
    error = capsys.readouterr().err
    assert f"expected weights of the classes of PUMA's track 1, {message}; train them with --preset" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ({}, (32, 24)),  # PUMA's 0.23 um
        ({"resolution": (1e4 / 0.46, 1e4 / 0.46), "resolutionunit": "CENTIMETER"}, (64, 48)),
        ({"resolution": (1e4 / 0.46, 1e4 / 0.23), "resolutionunit": "CENTIMETER"}, (32, 24)),  # of no use
    ],
)
def test_a_region_is_seen_at_the_resolution_of_the_weights(make_network, tmp_path, monkeypatch, said, seen):
    """Weights that were trained at another resolution saw its pixels as they are."""
    (tmp_path / INPUT_FOLDER).mkdir(parents=True)
    rgb = np.random.default_rng(0).integers(90, 200, (64, 48, 3), np.uint8)
    tifffile.imwrite(tmp_path / INPUT_FOLDER / "a.tif", rgb, photometric="rgb", **said)
    tissue, nuclei = PUMA
    network = make_network(HeadLayout(len(tissue), len(nuclei) - 1), subpixel=2).eval()
    about = About.of(network, tissue_classes=tissue, nuclei_classes=nuclei, mpp=0.46, untrained=())
    save_released(network, tmp_path / "mine.pt", about.to_tensor())
    shapes, infer = [], Predictor.infer

    def recorded(self, image):
        shapes.append(image.shape[:2])
        return infer(self, image)

    monkeypatch.setattr(Predictor, "infer", recorded)
    out = tmp_path / "out"
    arguments = ["--input", str(tmp_path), "--output", str(out), "--weights", str(tmp_path / "mine.pt")]
    assert main(["puma", "predict", "--track", "1", *arguments]) == 0
    assert shapes == [seen]
    assert tifffile.imread(out / TISSUE_FOLDER / "a.tif").shape == (64, 48)
    assert json.loads((out / NUCLEI_FILE[1]).read_text())["type"] == "Multiple polygons"


def test_a_second_region_does_not_take_the_place_of_the_first(make_network, tmp_path, capsys):
    """Its nuclei did, without a word, beside the tissue of both."""
    tissue, nuclei = PUMA
    network = make_network(HeadLayout(len(tissue), len(nuclei) - 1), subpixel=2).eval()
    about = About.of(network, tissue_classes=tissue, nuclei_classes=nuclei, mpp=0.25, untrained=())
    save_released(network, tmp_path / "mine.pt", about.to_tensor())
    out = tmp_path / "out"
    arguments = ["--output", str(out), "--weights", str(tmp_path / "mine.pt")]
    for name in ("a", "b"):
        (tmp_path / name / INPUT_FOLDER).mkdir(parents=True)
        Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(tmp_path / name / INPUT_FOLDER / f"{name}.tif")
    assert main(["puma", "predict", "--track", "1", "--input", str(tmp_path / "a"), *arguments]) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert len(before) == 2
    for track in "12":
        assert main(["puma", "predict", "--track", track, "--input", str(tmp_path / "b"), *arguments]) == 1
        assert f"{out} holds results of a region already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
