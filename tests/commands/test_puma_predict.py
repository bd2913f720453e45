import numpy as np
import pytest
from PIL import Image

from coseg_bundle.classes import NUCLEI_PRESETS, TISSUE_PRESETS
from coseg_bundle.cli import main
from coseg_bundle.networks import About, HeadLayout, save_released
from coseg_bundle.writers.puma_challenge import INPUT_FOLDER

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
