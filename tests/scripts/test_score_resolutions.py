from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from coseg_bundle.classes import ClassMap


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_labels_finer_than_the_image(script, tmp_path, times, mpp):
    """As `coseg puma prepare --oversample` paints them: whoever predicts the truth gets full marks."""
    truth = np.zeros((40, 60), np.int32)
    truth[4:16, 8:24], truth[20:36, 40:52] = 1, 2
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(tmp_path / "image.png")
    np.save(tmp_path / "label.npy", truth.repeat(times, axis=0).repeat(times, axis=1))
    step = round(mpp / 0.25)
    found = SimpleNamespace(instance_map=truth[::step, ::step], tissue_map=(truth > 0).astype(np.int32))
    predictor = SimpleNamespace(predict=lambda rgb, mpp: found, result_classes=(ClassMap(("background", "gland")),))
    item = {"image": str(tmp_path / "image.png"), "instances": str(tmp_path / "label.npy")}
    assert script.nuclei_scores(predictor, [item], mpp) == [1, 1, 1]
    np.save(tmp_path / "label.npy", (truth > 0).repeat(times, axis=0).repeat(times, axis=1))
    assert script.gland_dice(predictor, [{**item, "tissue": str(tmp_path / "label.npy")}], 0.62) == 1


def test_glands_are_told_by_name(script, tmp_path):
    """The network's class 1 was called gland, whatever it is."""
    Image.fromarray(np.full((4, 4, 3), 200, np.uint8)).save(tmp_path / "image.png")
    np.save(tmp_path / "label.npy", np.array([[2, 2, 1, 255]] * 4))
    item = {"image": str(tmp_path / "image.png"), "tissue": str(tmp_path / "label.npy")}
    found = SimpleNamespace(tissue_map=np.array([[3, 0, 1, 3]] * 4))

    def predictor(*names):
        return SimpleNamespace(predict=lambda rgb, mpp: found, result_classes=(ClassMap(names), None))

    assert script.gland_dice(predictor("a", "b", "c", "Gland"), [item], None, label_id=2) == round(2 / 3, 4)
    with pytest.raises(ValueError, match="Expected a network that knows glands, got the tissue classes untrained"):
        script.gland_dice(predictor("untrained"), [item], None)


def test_unlabelled_pixels_count_nowhere_and_stains_vary(script, tmp_path):
    truth = np.zeros((40, 60), np.int32)
    truth[4:16, 8:24], truth[20:36, 40:52] = 1, -1
    rgb = np.random.default_rng(0).integers(60, 220, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(rgb).save(tmp_path / "image.png")
    np.save(tmp_path / "label.npy", truth)
    seen = []
    predictor = SimpleNamespace(predict=lambda rgb, mpp: seen.append(rgb) or SimpleNamespace(instance_map=abs(truth)))
    item = {"image": str(tmp_path / "image.png"), "instances": str(tmp_path / "label.npy")}
    assert script.nuclei_scores(predictor, [item], 0.25, [script.jittered(0), script.jittered(1)]) == [1, 1, 1]
    assert script.nuclei_scores(predictor, [item], 0.25) == [1, 1, 1]
    first, second, plain = seen
    assert np.array_equal(plain, rgb)
    assert (first != rgb).any()
    assert (first != second).any()
