"""Nuclei lie where they are, at every resolution and behind every door: dark disks of known place."""

import numpy as np
import pytest
import tifffile
import torch
from disks import GreyNetwork, disks, offset_um
from PIL import Image
from scipy import ndimage

from coseg_bundle.classes import ClassMap
from coseg_bundle.inferers import Predictor, TiledInferer
from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing
from coseg_bundle.wsi.read.reader import open_slide
from coseg_bundle.wsi.segment.regions import segment_region

torch.set_num_threads(1)

RESOLUTIONS = (0.1, 0.2, 0.25, 0.35, 0.5, 0.62, 1.0, 1.3, 2.0)
TOLERANCE_UM = 0.01


def predictor_of(network: torch.nn.Module, tile: int = 512) -> Predictor:
    names = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))
    return Predictor(network, TiledInferer(tile), PostProcessing(HeadLayout(2)), *names, mpp=0.25)


def centres_of(label_map: np.ndarray) -> np.ndarray:
    ids = np.unique(label_map[label_map > 0])
    return np.array(ndimage.center_of_mass(label_map > 0, label_map, ids))[:, ::-1] + 0.5


@pytest.mark.parametrize("sharp", [False, True], ids=["soft", "sharp"])
@pytest.mark.parametrize("mpp", RESOLUTIONS)
def test_predict(mpp, sharp):
    rgb, centres = disks(mpp)
    prediction = predictor_of(GreyNetwork(sharp)).predict(rgb, mpp)
    table = prediction.instances
    assert np.abs(offset_um(table.centroid_xy, mpp, centres)).max() < TOLERANCE_UM
    drawn = max(TOLERANCE_UM, 0.02 * mpp)  # where a disk is a few pixels, their mean is known no better
    assert np.abs(offset_um(centres_of(prediction.instance_map), mpp, centres)).max() < drawn
    assert np.abs(offset_um(centres_of(ndimage.label(prediction.tissue_map)[0]), mpp, centres)).max() < drawn
    outlines = np.array([_centroid(contour) for contour in table.contours_xy])
    assert np.abs((outlines - table.centroid_xy).mean(axis=0)).max() * mpp < TOLERANCE_UM
    assert np.abs(outlines - table.centroid_xy).max() * mpp < 0.03
    area = np.bincount(prediction.instance_map.ravel())[1:]
    assert (area > 0).all()
    assert area.mean() == pytest.approx(table.area_px.mean(), rel=0.06)
    low, high = table.bbox_xyxy[:, :2], table.bbox_xyxy[:, 2:]
    assert ((low <= table.centroid_xy) & (table.centroid_xy <= high)).all()


@pytest.mark.parametrize("mpp", RESOLUTIONS)
def test_slide(mpp, tmp_path):
    rgb, centres = disks(mpp)
    tifffile.imwrite(tmp_path / "slide.tif", rgb, tile=(64, 64), photometric="rgb")
    with open_slide(tmp_path / "slide.tif", mpp) as reader:
        found = segment_region(reader, predictor_of(GreyNetwork(sharp=False)), (0, 0, *reader.size_xy))
    assert np.abs(offset_um(found.nuclei.centroid_xy, mpp, centres)).max() < TOLERANCE_UM


@pytest.mark.parametrize("mpp", RESOLUTIONS)
def test_service(mpp, tmp_path, monkeypatch):
    from coseg_bundle.service import segmentation
    from coseg_bundle.service.query import Query
    from coseg_bundle.service.weights import WeightsFolder

    rgb, centres = disks(mpp)
    Image.fromarray(rgb).save(tmp_path / "image.png")
    monkeypatch.setattr(segmentation.Predictor, "from_bundle", lambda *_, **__: predictor_of(GreyNetwork(sharp=False)))
    service = segmentation.SegmentationService(tmp_path, WeightsFolder(tmp_path / "weights", tmp_path / "model.pt"))
    answer = service.segment(tmp_path / "image.png", Query(mpp=mpp))
    rings = [shape.rings_xy[0] for shape in answer.only({"nuclei"}).shapes]
    assert np.abs(offset_um(np.array([_centroid(ring) for ring in rings]), mpp, centres)).max() < TOLERANCE_UM


def test_onnx(tmp_path):
    from coseg_bundle.networks import About
    from coseg_bundle.networks.export.onnx import export_onnx
    from coseg_bundle.networks.export.onnx_network import OnnxNetwork

    about = About(("background", "gland"), ("background", "nucleus"), 0.25, {"layout": {"tissue_classes": 2}})
    export_onnx(GreyNetwork(sharp=False), tmp_path / "model.onnx", about, "")
    predictor = predictor_of(OnnxNetwork(tmp_path / "model.onnx"), tile=256)
    for mpp in (0.2, 0.5, 1.0):
        rgb, centres = disks(mpp)
        found = predictor.predict(rgb, mpp).instances.centroid_xy
        assert np.abs(offset_um(found, mpp, centres)).max() < TOLERANCE_UM


def _centroid(ring_xy: np.ndarray) -> np.ndarray:
    """Of the area that a ring encloses."""
    x, y = ring_xy.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    cross = x * next_y - next_x * y
    return np.array([((x + next_x) * cross).sum(), ((y + next_y) * cross).sum()]) / (3 * cross.sum())


def test_black_fill_holds_no_nucleus_behind_any_door(tmp_path, monkeypatch):
    """A network that takes all that is dark for nuclei finds none in a black half, and all beside it."""
    from coseg_bundle.service import segmentation
    from coseg_bundle.service.query import Query
    from coseg_bundle.service.weights import WeightsFolder

    rgb, centres = disks(0.25)
    rgb = np.ascontiguousarray(np.concatenate([rgb, np.zeros_like(rgb)], axis=1))
    width = rgb.shape[1] // 2
    model = predictor_of(GreyNetwork(sharp=True))

    found = model.predict(rgb, 0.25)
    assert not found.instance_map[:, width:].any()
    assert len(found.instances) == len(centres)

    tifffile.imwrite(tmp_path / "slide.tif", rgb, tile=(64, 64), photometric="rgb")
    with open_slide(tmp_path / "slide.tif", 0.25) as reader:
        nuclei = segment_region(reader, model, (0, 0, *reader.size_xy)).nuclei
    assert len(nuclei) == len(centres)
    assert nuclei.centroid_xy[:, 0].max() < width

    Image.fromarray(rgb).save(tmp_path / "image.png")
    monkeypatch.setattr(segmentation.Predictor, "from_bundle", lambda *_, **__: model)
    service = segmentation.SegmentationService(tmp_path, WeightsFolder(tmp_path / "weights", tmp_path / "model.pt"))
    shapes = service.segment(tmp_path / "image.png", Query(mpp=0.25)).only({"nuclei"}).shapes
    assert len(shapes) == len(centres)
    assert max(shape.rings_xy[0][:, 0].max() for shape in shapes) <= width
