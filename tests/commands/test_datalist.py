import numpy as np
import pytest
import tifffile
from PIL import Image

from coseg_bundle.cli import main


@pytest.mark.parametrize(("count", "said"), [(1, "label a second image"), (2, "name some with --holdout"), (3, "")])
def test_no_image_for_validation_is_said(tmp_path, capsys, count, said):
    """A fifth of one or two images is none."""
    (tmp_path / "images").mkdir()
    (tmp_path / "nuclei").mkdir()
    for number in range(count):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / f"{number}.png")
        tifffile.imwrite(tmp_path / "nuclei" / f"{number}.tif", np.ones((8, 8), np.uint16))
    assert main(["datalist", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert ("No image is kept for validation" in out) == bool(said)
    assert said in out
    if said:
        assert main(["train", str(tmp_path / "datalist.json"), "--output", str(tmp_path / "run")]) == 1
        assert "keep some of a small set with `coseg datalist --holdout`" in capsys.readouterr().err
