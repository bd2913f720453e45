"""A slide that OpenSlide reads is turned as its tag says, like every other image."""

import numpy as np
import pytest
import tifffile

from coseg_bundle.data.images import read_image
from coseg_bundle.wsi.read.backend import Region
from coseg_bundle.wsi.read.reader import open_slide
from coseg_bundle.wsi.read.turned_backend import TurnedBackend

RGB = np.random.default_rng(0).integers(0, 200, (160, 256, 3), np.uint8)
APERIO = "Aperio Image Library v1\n256x160 [0,0 256x160] (128x128) JPEG/RGB Q=90|AppMag = 20|MPP = 0.5"


class Stored:
    """Two rows of three pixels, the first of which was not scanned."""

    level_sizes_xy, downsamples, pixel_size, origin_xy, missing_tiles, notes = [(3, 2)], (1.0,), None, (0, 0), 0, ("x",)
    rgb = np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3, 1), 3, 2)

    def read(self, level, x, y, width, height):
        return Region(self.rgb[y : y + height, x : x + width], self.unscanned(level, x, y, width, height))

    def unscanned(self, level, x, y, width, height):
        return (self.rgb[..., 0] == 0)[y : y + height, x : x + width]


def test_by_hand():
    turned = TurnedBackend(Stored(), 6)  # the left is the top: 0 1 2 / 3 4 5 becomes 3 0 / 4 1 / 5 2
    assert turned.level_sizes_xy == [(2, 3)]
    assert turned.notes == ("x",)
    assert turned.read(0, 0, 0, 2, 3).rgb[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert turned.read(0, 1, 1, 1, 2).rgb[..., 0].tolist() == [[1], [2]]
    assert turned.unscanned(0, 0, 0, 2, 1).tolist() == [[False, True]]
    assert turned.read(0, 0, 0, 2, 1).unscanned.tolist() == [[False, True]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("description", [APERIO, "plain"])
def test_a_tiff_is_read_as_an_image_is(tmp_path, orientation, description):
    """OpenSlide, which reads the scanner's, turns nothing, or each tile in its place."""
    path = tmp_path / "a.tif"
    about = {"description": description, "resolution": (20_000, 20_000), "resolutionunit": 3, "metadata": None}
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, RGB, tile=(128, 128), photometric="rgb", extratags=tag, **about)
    image = read_image(path)
    with open_slide(path) as slide:
        assert (slide.size_xy, slide.mpp) == (image.rgb.shape[1::-1], image.mpp)
        assert slide.notes == image.notes
        width, height = slide.size_xy
        assert np.array_equal(slide.read(0, 0, width, height, 0.5), image.rgb)
        assert np.array_equal(slide.read(30, 20, 90, 70, 0.5), image.rgb[20:90, 30:120])


def test_a_plain_tiff_that_is_called_svs(tmp_path):
    tag = [(274, "H", 1, 3, True)]
    tifffile.imwrite(tmp_path / "a.svs", RGB, tile=(128, 128), photometric="rgb", extratags=tag)
    with open_slide(tmp_path / "a.svs", 0.5) as slide:
        assert np.array_equal(slide.read(0, 0, 256, 160, 0.5), RGB[::-1, ::-1])
