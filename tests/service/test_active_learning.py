import numpy as np
import pytest
from colour_network import encode, gland_map, touching_pairs, write_slide
from PIL import Image

from coseg_bundle.service.active_learning import grid_boxes, most_disagreed, tile_disagreement


@pytest.fixture
def images(tmp_path):
    """The stand-in network disagrees in nuclei of glands: 0.25 a pixel."""
    found = {}
    for name, truth in (("empty", np.zeros((256, 256), np.int32)), ("full", touching_pairs(256, 256))):
        Image.fromarray(encode(truth, gland_map(256, 256))).save(tmp_path / f"{name}.png")
        found[name] = tmp_path / f"{name}.png"
    return found


def test_the_image_with_most_disagreement_comes_first(service, images):
    found = most_disagreed(service, images)
    nuclei_in_glands = (touching_pairs(256, 256) > 0) & (gland_map(256, 256) > 0)
    assert (found.image_id, found.box) == ("full", (0, 0, 256, 256))
    assert found.score == pytest.approx(0.25 * nuclei_in_glands.sum())
    assert tile_disagreement(service, images["empty"], (0, 0, 256, 256)) == 0


def test_of_a_slide_the_best_tile_is_returned(service, tmp_path):
    truth = np.zeros((512, 768), np.int32)
    truth[256:, 512:] = touching_pairs(256, 256)
    write_slide(tmp_path / "slide.tif", encode(truth, np.ones((512, 768), np.uint8)), mpp=0.25)
    found = most_disagreed(service, {"slide": tmp_path / "slide.tif"}, {"tile_px": 256})
    assert found.box == (512, 256, 256, 256)


def test_tiles_are_of_the_resolution_that_was_given(service, images):
    """Images were looked at as if they had the network's, whatever their client had said."""
    assert most_disagreed(service, images, {"tile_px": 256}).box == (0, 0, 256, 256)
    said = {"empty": "0.5", "full": 0.5}
    found = most_disagreed(service, images, {"tile_px": 256}, said)
    assert (found.image_id, found.box[2:]) == ("full", (128, 128))
    assert most_disagreed(service, images, {"tile_px": 256, "mpp": 0.5}).box == found.box
    assert "above 0, got 'coarse'" in most_disagreed(service, images, {}, {"empty": "coarse"}).skipped[0]


def test_scores_are_remembered(service, images, monkeypatch):
    most_disagreed(service, images)
    monkeypatch.setattr(service, "infer", None)
    assert most_disagreed(service, images).image_id == "full"


def test_what_cannot_be_read_is_named(service, images, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"cat")
    found = most_disagreed(service, {**images, "broken": tmp_path / "broken.png"})
    assert found.image_id == "full"
    assert "broken.png" in found.skipped[0]


def test_nothing_to_annotate_is_none(service):
    assert most_disagreed(service, {}) is None


def test_senseless_options_are_refused(service, images):
    with pytest.raises(ValueError, match="Expected tile_px of 32 or more"):
        most_disagreed(service, images, {"tile_px": 3})
    with pytest.raises(ValueError, match="Expected mpp in microns per pixel"):
        most_disagreed(service, images, {"mpp": -1})


def test_tiles_cover_an_image():
    seen = np.zeros((70, 100), int)
    for x, y, width, height in grid_boxes((100, 70), 32):
        seen[y : y + height, x : x + width] += 1
    assert seen.min() >= 1
