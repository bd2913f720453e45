import numpy as np
import pytest
import torch

from coseg_bundle.classes import ClassMap
from coseg_bundle.inferers import Predictor, TiledInferer, TwoScaleInferer
from coseg_bundle.inferers.refinement import CorrectableNetwork, LRUCache, Refiner, with_correction
from coseg_bundle.postprocessing.prediction import PostProcessing


@pytest.fixture
def network(make_network):
    return make_network().eval()


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def test_without_a_correction_it_is_the_network(network, image):
    with torch.inference_mode():
        torch.testing.assert_close(CorrectableNetwork(network)(image), network(image))


def test_an_image_is_encoded_once(network, image, monkeypatch):
    calls = []
    encode = network.encode
    monkeypatch.setattr(network, "encode", lambda x: calls.append(x.shape) or encode(x))
    correctable = CorrectableNetwork(network)
    with torch.inference_mode():
        correctable(image)
        correctable(with_correction(image, tissue=np.ones((64, 96), np.uint8)))
    assert len(calls) == 1


def test_a_correction_is_what_forward_takes_in_place_of_the_prior(network, image):
    tissue = np.full((64, 96), 255, np.uint8)
    tissue[:, :48] = 1
    with torch.inference_mode():
        expected = network(image, said={"tissue": torch.from_numpy(tissue)[None, None]})
        corrected = CorrectableNetwork(network)(with_correction(image, tissue=tissue))
    nuclei = network.layout.slices["nuclei_logits"]
    torch.testing.assert_close(corrected[:, nuclei], expected[:, nuclei])


@pytest.mark.parametrize("prompting", ["crossed", "own"])
def test_each_tile_of_a_batch_has_its_own_correction(make_network, prompting):
    network = make_network(prompting=prompting).eval()
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    known = torch.full((3, 2, 64, 64), 255.0)
    known[1, 0], known[1, 1, :20] = 1, 0  # nothing of the first tile; here all of the tissue, and some nuclei
    known[2, 1, 10:30, 10:30] = 1
    with torch.inference_mode():
        corrected = CorrectableNetwork(network)(torch.cat([images, known], dim=1))
        expected = network(images, said={"tissue": known[:, :1], "nuclei": known[:, 1:]})
    parts = network.layout.slices
    nuclei = slice(parts["nuclei_logits"].start, parts["hv_map"].stop)
    torch.testing.assert_close(corrected[:, nuclei], expected[:, nuclei])
    told = (known[:, :1] != 255).expand_as(corrected[:, parts["tissue_logits"]])
    tissue = torch.where(told, 0, corrected[:, parts["tissue_logits"]] - expected[:, parts["tissue_logits"]])
    assert tissue.abs().max() < 1e-4


def test_each_correction_changes_the_other_task_alone(network, image):
    correctable = CorrectableNetwork(network)
    parts = network.layout.slices
    tissue, nuclei = parts["tissue_logits"], slice(parts["nuclei_logits"].start, parts["hv_map"].stop)
    mask = np.full((64, 96), 255, np.uint8)
    mask[10:30, 10:30] = 1
    with torch.inference_mode():
        plain = correctable(image)
        by_tissue = correctable(with_correction(image, tissue=mask))
        by_nuclei = correctable(with_correction(image, nuclei=mask))
    assert not torch.equal(by_tissue[:, nuclei], plain[:, nuclei])
    assert torch.equal(by_tissue[:, tissue], plain[:, tissue])
    assert not torch.equal(by_nuclei[:, tissue], plain[:, tissue])
    assert torch.equal(by_nuclei[:, nuclei], plain[:, nuclei])


def test_own_prompts_go_to_the_task_itself(make_network, image):
    correctable = CorrectableNetwork(make_network(prompting="own").eval())
    nuclei = correctable.network.layout.slices["nuclei_logits"]
    mask = np.ones((64, 96), np.uint8)
    with torch.inference_mode():
        plain, corrected = correctable(image), correctable(with_correction(image, tissue=mask))
    assert torch.equal(corrected[:, nuclei], plain[:, nuclei])


def test_tiles_that_nobody_corrected_stay_as_they_are(network):
    image = torch.rand(1, 3, 64, 160, generator=torch.Generator().manual_seed(2))
    correctable, inferer = CorrectableNetwork(network), TiledInferer(64, overlap=0)
    mask = np.full((64, 160), 255, np.uint8)
    mask[:, :20] = 1
    with torch.inference_mode():
        plain, corrected = inferer(image, correctable), inferer(with_correction(image, tissue=mask), correctable)
    assert torch.equal(corrected[..., 64:], plain[..., 64:])
    assert not torch.equal(corrected[..., :64], plain[..., :64])


@pytest.mark.parametrize("two_scales", [False, True])
def test_what_a_person_says_of_the_tissue_stands_to_the_pixel(network, two_scales):
    """One pixel is called class 1; it lies in several tiles, and from afar it shares a pixel with others."""
    layout = network.layout
    names = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))
    inferer = TwoScaleInferer(TiledInferer(64, overlap=0.25), layout, two_scales)
    refiner = Refiner(Predictor(network, inferer, PostProcessing(layout), *names, mpp=0.25))
    rgb = np.random.default_rng(0).integers(0, 256, (100, 90, 3), np.uint8)
    said = np.full((100, 90), 255, np.uint8)
    plain = layout.split(refiner.infer(rgb, said), 0)["tissue_logits"]
    y, x = np.argwhere(plain.argmax(0) == 0)[0]
    said[y, x] = 1
    tissue = layout.split(refiner.infer(rgb, said), 0)["tissue_logits"]
    assert np.argwhere(tissue[1] - tissue[0] > 5.9).tolist() == [[y, x]]
    others = said == 255
    np.testing.assert_allclose(tissue[:, others], plain[:, others], atol=1e-5)


def test_nothing_said_is_the_predictor(predictor, network):
    rgb = np.random.default_rng(0).integers(0, 256, (70, 40, 3), np.uint8)
    predictor.network, predictor.postprocessing = network, PostProcessing(network.layout)
    np.testing.assert_allclose(Refiner(predictor).infer(rgb), predictor.infer(rgb), atol=1e-5)


def test_the_memory_is_bounded(network):
    correctable = CorrectableNetwork(network, batches=3)
    with torch.inference_mode():
        for seed in range(5):
            correctable(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)))
    assert len(correctable.memory) == 3


def test_the_least_recently_used_goes_first():
    cache: LRUCache[str] = LRUCache(2)
    made = []

    def make(key: str) -> str:
        return cache.get(key, lambda: made.append(key) or key)

    for key in "abacb":
        make(key)
    assert made == ["a", "b", "c", "b"]


def test_a_network_that_decodes_once_is_refused(make_network):
    from coseg_bundle.networks import HeadLayout

    with pytest.raises(ValueError, match="got one without RP-Encoder"):
        CorrectableNetwork(make_network(HeadLayout(2, disagreement=False), prompting="none"))


def test_a_correction_of_another_size_is_refused(image):
    with pytest.raises(ValueError, match="Expected a tissue correction of"):
        with_correction(image, tissue=np.zeros((3, 3), np.uint8))


def filled(value, dtype):
    said = np.full((64, 96), 255, np.int64).astype(dtype)
    said[3, 4] = value
    return said


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"tissue": filled(3, np.uint8)}, "a tissue correction of values from 0 to 2, and 255 .*, got 3"),
        ({"tissue": filled(-1, np.int32)}, "a tissue correction of .*, got -1"),
        ({"tissue": filled(0.5, np.float32)}, "a tissue correction of .*, got 0.5"),
        ({"nuclei": filled(7, np.int32)}, "a nuclei correction of values from 0 to 1, and 255 .*, got 7"),
    ],
)
def test_a_correction_that_says_nothing_is_refused(image, said, words):
    with pytest.raises(ValueError, match=words):
        with_correction(image, **said, tissue_classes=3)


def test_any_integers_say_the_same(image):
    masks = [filled(1, dtype) for dtype in (np.uint8, np.int16, np.int64, np.float32)]
    first, *others = (with_correction(image, mask, mask, tissue_classes=2) for mask in masks)
    assert first[0, 3:, 3, 4].tolist() == [1, 1]
    assert all(torch.equal(first, other) for other in others)
    assert with_correction(image, nuclei=np.ones((64, 96), bool))[0, 4].min() == 1


def test_the_classes_are_the_networks(predictor, network):
    predictor.network, predictor.postprocessing = network, PostProcessing(network.layout)
    rgb, classes = np.zeros((64, 96, 3), np.uint8), network.layout.tissue_classes
    Refiner(predictor).infer(rgb, filled(classes - 1, np.uint8))
    with pytest.raises(ValueError, match=f"values from 0 to {classes - 1}, and 255 .*, got {classes}"):
        Refiner(predictor).infer(rgb, filled(classes, np.uint8))
