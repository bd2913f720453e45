from dataclasses import asdict

import numpy as np
import pytest
import torch

from coseg_bundle.inferers import Predictor, two_scales
from coseg_bundle.networks import CheckpointError, save_released
from coseg_bundle.networks.about import build, describe
from coseg_bundle.precision import Precision, resolve

from .conftest import picture


def test_by_hand(predictor):
    prediction = predictor.predict(picture(100, 130, [(20, 20), (20, 90), (60, 100)]))
    assert prediction.instance_map.shape == prediction.tissue_map.shape == (100, 130)
    assert prediction.instances.area_px.tolist() == [144, 144, 144]
    assert prediction.instances.centroid_xy.tolist() == [[26, 26], [96, 26], [106, 66]]
    assert prediction.tissue_map[50, 10] == 1
    assert prediction.tissue_map[50, 100] == 0


def test_white_image_has_nothing(predictor):
    prediction = predictor.predict(np.full((40, 50, 3), 255, np.uint8))
    assert len(prediction.instances) == 0
    assert not prediction.tissue_map.any()


def test_one_nucleus_fills_the_image(predictor):
    prediction = predictor.predict(np.full((64, 64, 3), (60, 20, 90), np.uint8))
    assert prediction.instances.area_px.tolist() == [64 * 64]


@pytest.mark.parametrize("mpp", [None, 0.5])
def test_black_beside_tissue_is_not_scanned(predictor, mpp):
    rgb = picture(120, 160, [(20, 20), (60, 40)])
    white = predictor.predict(rgb, mpp)
    rgb[:, 90:] = 10
    black = predictor.predict(rgb, mpp)
    assert np.array_equal(black.instance_map, white.instance_map)
    assert not black.tissue_map[:, 90:].any()
    assert black.unscanned[:, 90:].all()
    assert not black.unscanned[:, :84].any()
    assert white.unscanned is None


def test_what_the_file_says_is_not_scanned(predictor):
    rgb = picture(120, 160, [(20, 20), (60, 40)])
    unscanned = np.zeros((120, 160), bool)
    unscanned[50:] = True
    found = predictor.predict(rgb, unscanned=unscanned)
    assert len(found.instances) == 1
    assert np.array_equal(found.unscanned, unscanned)
    assert not found.tissue_map[50:].any()
    with pytest.raises(ValueError, match=r"unscanned of the image's size \(120, 160\), got \(3, 3\)"):
        predictor.predict(rgb, unscanned=np.zeros((3, 3), bool))


def test_one_pixel(predictor):
    assert predictor.predict(np.zeros((1, 1, 3), np.uint8)).instance_map.shape == (1, 1)


def test_resolution_is_resampled_and_given_back(predictor):
    prediction = predictor.predict(picture(60, 80, [(20, 20), (30, 60)], side=8), mpp=0.5)
    assert prediction.instance_map.shape == (60, 80)
    assert prediction.mpp == 0.5
    assert np.allclose(prediction.instances.area_px, 64, rtol=0.2)
    assert np.allclose(prediction.instances.centroid_xy, [[24, 24], [64, 34]], atol=0.3)


def test_close_resolutions_are_not_resampled(predictor, monkeypatch):
    seen = []
    monkeypatch.setattr(
        predictor, "infer", lambda rgb: seen.append(rgb.shape) or np.zeros((7, *rgb.shape[:2]), np.float32)
    )
    for mpp in (0.23, 0.27, 0.5):
        predictor.predict(picture(40, 40, []), mpp=mpp)
    assert seen == [(40, 40, 3), (40, 40, 3), (80, 80, 3)]


@pytest.mark.parametrize("mpp", [0.001, 25.0])
def test_senseless_resolution(predictor, mpp):
    with pytest.raises(ValueError, match=r"out of range.*--mpp"):
        predictor.predict(picture(40, 40, []), mpp=mpp)


@pytest.mark.parametrize("array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_arrays_that_are_no_image(predictor, array):
    with pytest.raises(ValueError, match=r"Expected an RGB image .H, W, 3. uint8"):
        predictor.predict(array)


def test_from_bundle(bundle_root, tmp_path):
    with pytest.raises(CheckpointError, match=r"Weights not found.*none.pt"):
        Predictor.from_bundle(bundle_root, tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match=r"Weights not found: \. does not exist"):  # not the released ones
        Predictor.from_bundle(bundle_root, "")
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(bundle_root / "configs" / "inference.yaml")
    torch.manual_seed(0)
    save_released(parser.get_parsed_content("network_def"), tmp_path / "model.pt")
    predictor = Predictor.from_bundle(bundle_root, tmp_path / "model.pt", device="cpu", tile_size=64)
    assert predictor.inferer.inferer.inferer.inferer.inferer.tile_size == 64
    assert len(predictor.weights_sha256) == 64
    assert predictor.settings == {
        "two_scales": False,
        "far_weight": 3,
        "narrow_um": 3.5,
        "flips": False,
        "precision": asdict(resolve("auto", "cpu")),
        "engine": "torch",
    }  # as these weights say
    assert predictor.predict(picture(70, 50, [])).tissue_map.shape == (70, 50)
    with pytest.raises(ValueError, match=r"Device 'cuda:7' cannot be used.*coseg doctor"):
        Predictor.from_bundle(bundle_root, tmp_path / "model.pt", device="cuda:7")
    full = Precision("fp32", "of a plan")
    for asked, found in (("bf16", {"name": "bf16", "reason": "asked for"}), (full, asdict(full))):
        predictor = Predictor.from_bundle(bundle_root, tmp_path / "model.pt", device="cpu", precision=asked)
        assert predictor.settings["precision"] == found
        assert predictor.inferer.inferer.precision == Precision(**found)
    for wrong, message in (
        ({"precision": "fp16"}, "Expected precision auto, fp32 or bf16 for cpu, got fp16"),
        ({"amp": False}, "`amp` has become `precision`, got amp False"),
        ({"engine": "onnx", "precision": "bf16"}, "the engine onnx computes in full precision; got bf16"),
    ):
        with pytest.raises(ValueError, match=message):
            Predictor.from_bundle(bundle_root, tmp_path / "model.pt", device="cpu", **wrong)


@pytest.mark.parametrize(("mpp", "weight"), [(None, 1.0), (0.25, 3.0), (0.5, 3.0)])
def test_the_look_from_afar_counts_more_at_a_known_resolution(predictor, monkeypatch, mpp, weight):
    counted = []

    def from_afar(pred, far, layout, weight):
        counted.append(weight)
        return pred

    monkeypatch.setattr(two_scales, "with_tissue_from_afar", from_afar)
    predictor.inferer = two_scales.TwoScaleInferer(predictor.inferer, predictor.postprocessing.layout, enabled=True)
    predictor.predict(picture(100, 130, []), mpp)
    assert counted == [weight]


@pytest.mark.slow
def test_5000_by_3000(predictor):
    prediction = predictor.predict(
        picture(3000, 5000, [(y, x) for y in range(5, 2990, 64) for x in range(5, 4990, 64)])
    )
    assert prediction.instances.area_px.tolist() == [144] * (47 * 78)  # whole, though most lie on seams of tiles


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("stages", [[1, 2, 7, 2], [1, 2, 3, 2]])
def test_weights_that_say_nothing_of_a_network_unlike_the_released(bundle_root, tmp_path, stages):
    """Their own sizes count, not those of the weights that lie in the bundle."""
    said = describe(Predictor.from_bundle(bundle_root, device="cpu").network)
    said["image_encoder"] |= {"detail_depth": 2, "mlp_ratio": 2.0, "stages": stages}
    torch.save(build(said).state_dict(), tmp_path / "model.pt")
    given = Predictor.from_bundle(bundle_root, tmp_path / "model.pt", device="cpu").network
    said["image_encoder"]["global_attention"] = stages == [1, 2, 7, 2]
    assert given.image_encoder.arguments == said["image_encoder"]


def test_arrays_that_are_read_only(predictor):
    rgb = picture(40, 40, [(10, 10)])
    rgb.flags.writeable = False
    assert len(predictor.predict(rgb).instances) == len(predictor.predict(rgb[:, ::-1]).instances) == 1


@pytest.mark.parametrize("device", ["nonsense", "meta", ""])
def test_devices_that_cannot_be_used(bundle_root, device):
    with pytest.raises(ValueError, match="cannot be used"):
        Predictor.from_bundle(bundle_root, device=device)


def test_tile_sizes_that_the_network_does_not_take(bundle_root):
    with pytest.raises(ValueError, match="multiple of 32, got 7"):
        Predictor.from_bundle(bundle_root, tile_size=7)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_default_dtype_of_a_script_changes_nothing(bundle_root, dtype):
    """The network was built in it, and images are float32."""
    rgb = np.random.default_rng(0).integers(0, 255, (70, 100, 3), np.uint8)

    def answers():
        predictor = Predictor.from_bundle(bundle_root, device="cpu", engine="torch", precision="fp32", tile_size=64)
        return predictor.infer(rgb)

    expected = answers()
    torch.set_default_dtype(dtype)
    try:
        np.testing.assert_array_equal(answers(), expected)
    finally:
        torch.set_default_dtype(torch.float32)
