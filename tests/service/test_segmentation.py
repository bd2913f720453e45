import time
from pathlib import Path

import numpy as np
import pytest
import torch
from colour_network import encode, gland_map, touching_pairs, write_slide
from PIL import Image

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.polygons import paint
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.inferers import TaughtInferer, two_scales
from coseg_bundle.inferers.refinement import LRUCache
from coseg_bundle.networks import CoSeg
from coseg_bundle.service import segmentation as service_module
from coseg_bundle.service.formats import to_json
from coseg_bundle.service.images import open_image
from coseg_bundle.service.query import Query
from coseg_bundle.service.segmentation import RegionTooLargeError, SegmentationService
from coseg_bundle.service.shapes import Answer, Box
from coseg_bundle.service.weights import WeightsFolder


def painted(answer: Answer, shape: tuple[int, int], scale: float = 1.0) -> np.ndarray:
    """Nuclei as an instance map."""
    rings = [[ring * scale for ring in s.rings_xy] for s in answer.only({"nuclei"}).shapes]
    return paint(rings, range(1, len(rings) + 1), shape)[0]


def assert_same_nuclei(found: np.ndarray, truth: np.ndarray, iou: float = 0.99) -> None:
    """Every true nucleus is found once, and nothing else."""
    assert found.max() == len(np.unique(truth[truth > 0]))
    for i in np.unique(truth[truth > 0]):
        mine = truth == i
        ids = found[mine]
        best = np.bincount(ids[ids > 0]).argmax()
        theirs = found == best
        assert (mine & theirs).sum() / (mine | theirs).sum() >= iou, f"nucleus {i}"


def told(answer: Answer) -> list:
    """All that a client is told about the polygons."""
    return to_json(answer, "coseg")["annotations"]


def in_box(truth: np.ndarray, box: Box) -> np.ndarray:
    """The nuclei whose centroids lie in a box, whole."""
    kept = np.zeros_like(truth)
    x, y, width, height = box
    for i in np.unique(truth[truth > 0]):
        rows, columns = np.nonzero(truth == i)
        if x <= columns.mean() + 0.5 < x + width and y <= rows.mean() + 0.5 < y + height:
            kept[truth == i] = i
    return kept


@pytest.fixture
def image(tmp_path: Path) -> tuple[Path, np.ndarray]:
    truth = touching_pairs(300, 340)
    path = tmp_path / "image.png"
    Image.fromarray(encode(truth, gland_map(*truth.shape))).save(path)
    return path, truth


def test_every_nucleus_once_and_touching_ones_apart(service, image):
    path, truth = image
    answer = service.segment(path, Query())
    assert_same_nuclei(painted(answer, truth.shape), truth)
    assert {s.name for s in answer.only({"nuclei"}).shapes} == {"nucleus"}
    assert all(s.score > 0.9 for s in answer.only({"nuclei"}).shapes)


def test_tissue_stands_in_a_group_of_its_own(service, image):
    path, truth = image
    [gland] = service.segment(path, Query()).only({"tissue"}).shapes
    assert (gland.group, gland.name) == ("tissue", "gland")
    assert gland.score > 0.99
    rows, columns = np.nonzero(gland_map(*truth.shape))
    outer = gland.rings_xy[0]
    assert outer.min(axis=0).tolist() == [columns.min(), rows.min()]
    assert outer.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("box", [(57, 43, 160, 120), (0, 0, 90, 90), (250, 200, 90, 100)])
def test_a_region_has_the_nuclei_whose_centres_lie_in_it_whole(service, image, box):
    path, truth = image
    answer = service.segment(path, Query(location=box[:2], size=box[2:]))
    assert_same_nuclei(painted(answer, truth.shape), in_box(truth, box))


def test_neighbouring_regions_share_no_nucleus_and_miss_none(service, image):
    path, truth = image
    halves = [Query(location=(0, 0), size=(167, 300)), Query(location=(167, 0), size=(173, 300))]
    answers = [service.segment(path, half) for half in halves]
    together = Answer(tuple(s for a in answers for s in a.only({"nuclei"}).shapes), (0, 0, 340, 300))
    assert_same_nuclei(painted(together, truth.shape), truth)


def test_a_region_over_the_border_is_cut_there(service, image):
    path, _ = image
    assert service.segment(path, Query(location=(-50, 200), size=(100, 400))).box == (0, 200, 50, 100)


def test_level_1_counts_the_size_in_its_own_pixels(service, tmp_path):
    truth = touching_pairs(600, 700)
    write_slide(tmp_path / "slide.tif", encode(truth, gland_map(*truth.shape)), mpp=0.25)
    query = Query(location=(101, 83), size=(150, 120), level=1)
    answer = service.segment(tmp_path / "slide.tif", query)
    assert answer.box == (101, 83, 300, 240)
    assert answer.mpp == pytest.approx(0.25, rel=1e-3)
    assert_same_nuclei(painted(answer, truth.shape), in_box(truth, answer.box))


def test_a_slide_at_half_the_resolution_answers_in_its_own_pixels(service, tmp_path):
    truth = touching_pairs(600, 720)
    fine = encode(truth, gland_map(*truth.shape)).reshape(300, 2, 360, 2, 3).mean(axis=(1, 3))
    write_slide(tmp_path / "slide.tif", np.round(fine).astype(np.uint8), mpp=0.5)
    box = (60, 50, 196, 180)
    answer = service.segment(tmp_path / "slide.tif", Query(location=box[:2], size=box[2:]))
    assert answer.mpp == pytest.approx(0.5, rel=1e-3)
    expected = in_box(truth, tuple(2 * v for v in box))
    assert_same_nuclei(painted(answer, truth.shape, scale=2.0), expected, iou=0.85)


def test_a_given_mpp_overrules_the_file(service, tmp_path):
    truth = touching_pairs(300, 360)
    half = encode(truth, gland_map(*truth.shape)).reshape(150, 2, 180, 2, 3).mean(axis=(1, 3))
    Image.fromarray(np.round(half).astype(np.uint8)).save(tmp_path / "image.png")
    answer = service.segment(tmp_path / "image.png", Query(mpp=0.5))
    assert_same_nuclei(painted(answer, truth.shape, scale=2.0), truth, iou=0.85)


@pytest.mark.parametrize("direct_px", [service_module.DIRECT_PX, 1000])
def test_whether_the_resolution_is_known_does_not_depend_on_the_size(service, image, monkeypatch, direct_px):
    """Tissue counts more from afar where it is (`TwoScaleInferer`)."""
    path, _ = image
    known = []
    inferer = service.predictor().inferer

    def recorded(*arguments, **named):
        known.append(two_scales._image.get().known)
        return inferer(*arguments, **named)

    monkeypatch.setattr(service_module, "DIRECT_PX", direct_px)
    monkeypatch.setattr(service.predictor(), "inferer", recorded)
    service.segment(path, Query())
    unknown = [*known]
    known.clear()
    service.segment(path, Query(mpp=0.25))
    assert set(unknown) == {False}
    assert set(known) == {True}


def test_large_regions_give_what_small_ones_do(service, image, monkeypatch):
    path, truth = image
    monkeypatch.setattr(service_module, "DIRECT_PX", 1000)
    answer = service.segment(path, Query(location=(20, 20), size=(280, 250)))
    assert_same_nuclei(painted(answer, truth.shape), in_box(truth, answer.box))
    assert {s.name for s in answer.only({"tissue"}).shapes} == {"gland"}


def test_three_models_cost_one_pass(service, image, monkeypatch):
    path, _ = image
    calls = []
    infer = service.infer
    monkeypatch.setattr(service, "infer", lambda *args: calls.append(1) or infer(*args))
    for _ in range(3):
        service.segment(path, Query())
    assert len(calls) == 1


def test_a_changed_file_is_read_again(service, image):
    path, _ = image
    service.segment(path, Query())
    time.sleep(0.01)
    Image.fromarray(encode(np.zeros((64, 64), np.int32), np.zeros((64, 64), np.uint8))).save(path)
    assert service.segment(path, Query()).shapes == ()


def test_an_empty_image_has_an_empty_answer(service, tmp_path):
    Image.fromarray(encode(np.zeros((64, 64), np.int32), np.zeros((64, 64), np.uint8))).save(tmp_path / "empty.png")
    assert service.segment(tmp_path / "empty.png", Query()).counts() == {}


def test_unknown_classes_are_named(service, image):
    with pytest.raises(ValueError, match=r"Unknown classes \['cat'\]: expected some of \['gland', 'nucleus'\]"):
        service.segment(image[0], Query(classes=("cat",)))


def test_a_region_outside_the_image_is_refused(service, image):
    with pytest.raises(ValueError, match="lies outside the image, which is"):
        service.segment(image[0], Query(location=(1000, 0), size=(10, 10)))


def test_a_huge_region_is_refused(service, image):
    service.max_px = 50_000
    with pytest.raises(RegionTooLargeError, match="the limit is 0 million"):
        service.segment(image[0], Query())


def test_a_missing_image_is_named(service, tmp_path):
    with pytest.raises(ImageFileError, match=r"Image not found: none\.png"):
        service.segment(tmp_path / "none.png", Query())


def test_a_senseless_mpp_is_refused(service, image):
    with pytest.raises(ValueError, match="is out of range"):
        service.segment(image[0], Query(mpp=300.0))


def test_a_network_without_prompts_takes_no_correction(service, image):
    with pytest.raises(ValueError, match="has no prompts"):
        service.segment(image[0], Query(correction={"type": "FeatureCollection", "features": []}))


def square(name: str, x: float, y: float, side: float) -> dict:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}


def correction(*features: dict) -> dict:
    return {"type": "FeatureCollection", "features": list(features)}


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> tuple[SegmentationService, Path, np.ndarray]:
    """The released weights, and generated tissue."""
    root = Path(__file__).parents[2]
    folder = tmp_path_factory.mktemp("real")
    tissue = synthetic_tissue(256, seed=5)
    Image.fromarray(tissue.rgb).save(folder / "tissue.png")
    weights = WeightsFolder(folder / "weights", root / "models" / "model.pt")
    return SegmentationService(root, weights), folder / "tissue.png", tissue.tissue_map


@pytest.mark.parametrize("side", [100, 30])  # 900 px are fewer than min_tissue_area_px
def test_corrected_tissue_changes_the_nuclei_and_stands_as_drawn(real, side):
    service, path, _ = real
    before = service.segment(path, Query())
    drawn = correction(square("gland", 40, 60, side))
    after = service.segment(path, Query(correction=drawn, complete=True))
    [gland] = after.only({"tissue"}).shapes
    assert gland.rings_xy[0].min(axis=0).tolist() == [40, 60]
    assert gland.rings_xy[0].max(axis=0).tolist() == [40 + side, 60 + side]
    scores = [[s.score for s in answer.only({"nuclei"}).shapes] for answer in (before, after)]
    assert scores[0] != scores[1]
    assert told(service.segment(path, Query())) == told(before)


def test_corrected_nuclei_leave_the_nuclei_as_they_are(real):  # the tissue's change: tests/inferers/test_refinement.py
    service, path, _ = real
    before = service.segment(path, Query(location=(0, 0), size=(256, 256)))
    after = service.segment(path, Query(correction=correction(square("epithelial", 0, 0, 256))))
    assert before.only({"nuclei"}).shapes
    assert told(before.only({"nuclei"})) == told(after.only({"nuclei"}))


def test_a_label_map_is_a_correction(real, tmp_path):
    service, path, tissue_map = real
    Image.fromarray(tissue_map).save(tmp_path / "label.png")
    answer = service.segment(path, Query(label=str(tmp_path / "label.png")))
    rings = [list(s.rings_xy) for s in answer.only({"tissue"}).shapes]
    drawn, _ = paint(rings, [1] * len(rings), tissue_map.shape)
    assert (drawn == tissue_map).all()


def test_a_label_of_another_size_is_refused(real, tmp_path):
    service, path, _ = real
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "label.png")
    with pytest.raises(ImageFileError, match="The label has 40 x 30 px; expected those of the image"):
        service.segment(path, Query(label=str(tmp_path / "label.png")))


def test_a_label_with_unknown_ids_is_refused(real, tmp_path):
    service, path, _ = real
    Image.fromarray(np.full((256, 256), 9, np.uint8)).save(tmp_path / "label.png")
    with pytest.raises(ImageFileError, match=r"unknown tissue ids \[9\]"):
        service.segment(path, Query(label=str(tmp_path / "label.png")))


def test_a_correction_with_unknown_classes_is_refused(real):
    service, path, _ = real
    with pytest.raises(ValueError, match=r"unknown classes \['cat'\]"):
        service.segment(path, Query(correction=correction(square("cat", 0, 0, 9))))


def test_a_correction_counts_as_qupath_means_it(real):
    """A derived class, below a region that is no class of ours: the same answer as the plain polygon's."""
    service, path, _ = real
    plain = service.segment(path, Query(correction=correction(square("gland", 20, 20, 99))))
    parent = square("Region*", 0, 0, 256)
    parent["properties"]["childObjects"] = [square("gland: Low grade", 20, 20, 99)]
    assert told(service.segment(path, Query(correction=correction(parent)))) == told(plain)


def test_the_newest_weights_that_load_are_served(real, tmp_path):
    _, path, _ = real
    root = Path(__file__).parents[2]
    weights = WeightsFolder(tmp_path / "weights", root / "models" / "model.pt")
    service = SegmentationService(root, weights)
    first = service.segment(path, Query())
    stored = torch.load(root / "models" / "model.pt", weights_only=True)
    state = {name: v * 1.05 if v.is_floating_point() else v for name, v in stored.items()}
    torch.save(state, tmp_path / "new.pt")
    weights.publish(tmp_path / "new.pt")
    second = service.segment(path, Query())
    (tmp_path / "weights" / "coseg_v002.pt").write_bytes(b"no weights")
    third = service.segment(path, Query())
    assert [a.weights for a in (first, second, third)] == ["model.pt", "coseg_v001.pt", "coseg_v001.pt"]
    assert told(first) != told(second)
    assert told(second) == told(third)
    (tmp_path / "weights" / "coseg_v001.pt").unlink()  # back to the old ones
    assert told(service.segment(path, Query())) == told(first)


def test_weights_that_come_during_a_request_wait_for_the_next(service, image, monkeypatch):
    """An answer was once named after weights that had come while it was computed, and remembered so."""
    infer = service.infer

    def infer_and_publish(*args):
        pred = infer(*args)
        service.weights.publish(service.weights.initial)
        return pred

    monkeypatch.setattr(service, "infer", infer_and_publish)
    assert [service.segment(image[0], Query()).weights for _ in range(2)] == ["model.pt", "coseg_v001.pt"]


def test_a_corrected_request_encodes_nothing(real, monkeypatch):
    service, path, _ = real
    service.segment(path, Query())
    encoded = []
    encode = CoSeg.encode
    monkeypatch.setattr(CoSeg, "encode", lambda self, image: encoded.append(len(image)) or encode(self, image))
    service.segment(path, Query(correction=correction(square("gland", 20, 30, 90))))
    assert not encoded  # what it costs beside the first request: scripts/bench.py corrections
    service.segment(path, Query(location=(100, 100), size=(60, 60)))
    assert encoded


@pytest.mark.parametrize("content", [b"", b"half a file"])
def test_an_empty_or_broken_newest_file_is_passed_over(service, content):
    service.weights.folder.mkdir(parents=True)
    (service.weights.folder / "coseg_v004.pt").write_bytes(content)
    (service.weights.folder / "coseg_v005.pt").mkdir()
    assert service.served == "model.pt"


def test_what_nobody_taught_is_left_out(service, image, monkeypatch):
    path, _ = image
    assert {shape.group for shape in service.segment(path, Query()).shapes} == {"nuclei", "tissue"}
    predictor = service.predictor()
    monkeypatch.setattr(predictor, "untrained", ("tissue", "types"))
    inferer = predictor.inferer
    monkeypatch.setattr(predictor, "inferer", TaughtInferer(inferer, predictor.postprocessing.layout, ("tissue",)))
    service._answers = LRUCache(2)
    monkeypatch.setattr(service, "_refiner", None)
    answer = service.segment(path, Query())
    assert {shape.group for shape in answer.shapes} == {"nuclei"}
    assert answer.untrained == ("tissue", "types")
    box = (0, 0, 200, 200)
    with open_image(path, None, predictor.mpp) as slide:
        large = slide.segment(predictor, box, "model.pt")
    assert {shape.group for shape in large.shapes} == {"nuclei"}
    assert large.untrained == ("tissue", "types")
