import time

import numpy as np
import pytest
from colour_network import touching_pairs

from coseg_bundle.classes import ClassMap
from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.instances import instance_table
from coseg_bundle.postprocessing.prediction import PostProcessing
from coseg_bundle.service.shapes import Answer, Grid, nuclei_shapes, tissue_shapes, whole_px
from coseg_bundle.transforms.hv_maps import hv_map

NUCLEI, TISSUE = ClassMap(("background", "nucleus")), ClassMap(("background", "gland"))


def test_a_grid_goes_to_the_image_and_back():
    grid = Grid(100, 50, 2.0, 2.0)
    points = np.array([[0, 0], [4, 6]])
    assert grid.to_image(points).tolist() == [[100, 50], [102, 53]]
    assert grid.to_map(grid.to_image(points)).tolist() == points.tolist()


def test_whole_pixels_hold_bounds_and_end_with_the_image():
    assert whole_px((1.5, 2, 7.1, 9), (20, 20)) == (1, 2, 7, 7)
    assert whole_px((-3, 4, 25, 19.5), (20, 20)) == (0, 4, 20, 16)


def test_a_nucleus_by_hand():
    instances = np.zeros((6, 8), np.int32)
    instances[2:4, 2:6] = 7
    table = instance_table(instances, nuclei_prob=np.full((6, 8), 0.9), disagreement=np.full((6, 8), 0.25))
    [shape] = nuclei_shapes(table, NUCLEI, Grid(100, 50, 2.0, 2.0))
    assert (shape.group, shape.name, shape.score) == ("nuclei", "nucleus", 0.9)
    assert sorted(shape.rings_xy[0].tolist()) == [[101, 51], [101, 52], [103, 51], [103, 52]]
    assert shape.measurements == {"Nucleus probability": 0.9, "Disagreement": 0.25}


@pytest.mark.parametrize(("box", "count"), [((0, 0, 4, 3), 0), ((0, 0, 5, 4), 1), ((4, 3, 9, 9), 1), ((5, 0, 9, 9), 0)])
def test_a_nucleus_belongs_where_its_centroid_lies(box, count):
    instances = np.zeros((6, 8), np.int32)
    instances[2:4, 2:6] = 1  # centroid (4, 3)
    assert len(list(nuclei_shapes(instance_table(instances), NUCLEI, Grid(), box))) == count


def test_types_give_class_and_score():
    types = np.zeros((3, 6, 8))
    types[1], types[2] = 0.2, 0.6
    instances = np.ones((6, 8), np.int32)
    classes = ClassMap(("background", "round", "spindle"))
    [shape] = nuclei_shapes(instance_table(instances, type_prob=types), classes, Grid())
    assert (shape.name, shape.score) == ("spindle", 0.75)


def test_a_gland_with_a_hole_by_hand():
    tissue = np.zeros((6, 6), np.uint8)
    tissue[1:5, 1:5] = 1
    tissue[2:4, 2:4] = 0
    probability = np.stack([np.full((6, 6), 0.2), np.where(tissue == 1, 0.8, 0.1)])
    [shape] = tissue_shapes(tissue, probability, TISSUE, Grid())
    assert (shape.name, shape.score, len(shape.rings_xy)) == ("gland", 0.8, 2)


def test_an_answer_can_be_asked_for_parts():
    instances = np.zeros((6, 8), np.int32)
    instances[2:4, 2:6] = 1
    shapes = (*nuclei_shapes(instance_table(instances), NUCLEI, Grid()),)
    answer = Answer(shapes, (0, 0, 8, 6))
    assert answer.counts() == {"nucleus": 1}
    assert answer.only({"tissue"}).shapes == ()
    assert answer.only({"nuclei"}, ["gland"]).shapes == ()


def test_3969_nuclei_become_polygons_in_less_than_5_seconds():
    instances = np.zeros((2048, 2048), np.int32)
    squares = touching_pairs(24 + 12 + 1, 20 * 2 + 12 + 1)[6:30, 6:26]
    for number in range(63 * 63):
        y, x = divmod(number, 63)
        cell = instances[4 + 32 * y :, 4 + 32 * x :][:24, :20]
        cell[squares > 0] = number + 1
    layout = HeadLayout(2)
    pred = np.zeros((layout.channels, 2048, 2048), np.float32)
    pred[layout.slices["tissue_logits"].start] = 5
    pred[layout.slices["nuclei_logits"]] = np.where(instances > 0, 8, -8)
    pred[layout.slices["hv_map"]] = hv_map(instances)
    start = time.process_time()
    prediction = PostProcessing(layout)(pred)
    shapes = list(nuclei_shapes(prediction.instances, NUCLEI, Grid(), (0, 0, 2048, 2048)))
    seconds = time.process_time() - start
    assert len(shapes) == 3969
    assert seconds < 5
