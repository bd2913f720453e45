import numpy as np
import pytest
import tifffile
from scn import CANVAS, CORNER, write_scn

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.service.images import open_image

RGB = np.random.default_rng(0).integers(0, 200, (256, 512, 3), np.uint8)


def test_a_request_counts_as_its_client_does(tmp_path):
    path = write_scn(tmp_path / "a.scn", RGB)
    box = (10, 20, 100, 50)
    on_glass = (CORNER[0] + box[0], CORNER[1] + box[1], *box[2:])
    with open_image(path, None, 0.25) as bounds, open_image(path, None, 0.25, "canvas") as canvas:
        assert (bounds.size_xy, canvas.size_xy) == ((512, 256), CANVAS)
        for slide, asked in ((bounds, box), (canvas, on_glass)):
            (rgb, _), grid = slide.read_with_halo(asked, 0.25, 0)
            assert np.array_equal(rgb, RGB[20:70, 10:110])
            assert (grid.x, grid.y) == asked[:2]
        assert bounds.identity != canvas.identity
        assert bounds.place == {"origin": "bounds", "origin_x_px": CORNER[0], "origin_y_px": CORNER[1]}
        assert canvas.place == {"origin": "canvas", "origin_x_px": 0, "origin_y_px": 0}
        assert bounds.is_current(path, None, "bounds")
        assert not bounds.is_current(path, None, "canvas")


def test_oblong_pixels_are_refused_unless_a_resolution_is_given(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB, resolution=(40_000, 20_000), resolutionunit="CENTIMETER")
    with pytest.raises(ImageFileError, match=r"^a.tif: its pixels are 0.25 x 0.5 um and not square"):
        open_image(tmp_path / "a.tif", None, 0.25)
    with open_image(tmp_path / "a.tif", 0.25, 0.25) as slide:
        assert slide.known_mpp == 0.25
