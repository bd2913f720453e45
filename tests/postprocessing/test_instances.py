import numpy as np
import pytest
from maps import discs
from scipy.special import softmax
from skimage.measure import regionprops

from coseg_bundle.postprocessing.instances import InstanceTable, empty_table, instance_table

MAP = np.array([[0, 5, 5, 0], [0, 5, 5, 9]])


def test_columns_by_hand():
    prob = np.array([[0, 0.5, 0.7, 0], [0, 0.6, 0.6, 0.9]])
    types = np.stack([np.zeros((2, 4)), np.full((2, 4), 0.3), np.full((2, 4), 0.6)])
    tissue = np.array([[0, 1, 1, 0], [0, 1, 2, 2]])
    table = instance_table(MAP, nuclei_prob=prob, type_prob=types, tissue_map=tissue, disagreement=prob / 2)
    assert table.instance_id.tolist() == [5, 9]
    assert table.centroid_xy.tolist() == [[2.0, 1.0], [3.5, 1.5]]
    assert table.bbox_xyxy.tolist() == [[1, 0, 3, 2], [3, 1, 4, 2]]
    assert table.area_px.tolist() == [4, 1]
    assert table.contours_xy[0].tolist() == [[1, 0], [3, 0], [3, 2], [1, 2]]
    assert table.nuclei_prob.tolist() == pytest.approx([0.6, 0.9])
    assert table.type_id.tolist() == [2, 2]
    assert table.type_prob.tolist() == pytest.approx([2 / 3, 2 / 3])
    assert table.tissue_id.tolist() == [1, 2]
    assert table.disagreement.tolist() == pytest.approx([0.3, 0.45])


def test_types_of_logits_are_those_of_their_probabilities():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4, 120, 120)).astype(np.float32)
    instances = discs(120, 30)
    given, said = (
        instance_table(instances, **types) for types in ({"type_prob": softmax(logits, 0)}, {"type_logits": logits})
    )
    assert given.type_id.tolist() == said.type_id.tolist()
    assert set(said.type_id.tolist()) == {1, 2, 3}
    assert given.type_prob.tolist() == said.type_prob.tolist()


def test_what_is_not_given_is_unknown():
    table = instance_table(MAP)
    for column in (table.nuclei_prob, table.type_prob, table.disagreement):
        assert np.isnan(column).all()
    assert table.tissue_id.tolist() == [-1, -1]
    assert table.type_id.tolist() == [0, 0]


def test_equals_regionprops():
    instances = discs(120, 30)
    table = instance_table(instances)
    for i, region in enumerate(regionprops(instances)):
        assert table.instance_id[i] == region.label
        assert table.area_px[i] == region.area
        assert table.centroid_xy[i] == pytest.approx(np.array(region.centroid)[::-1] + 0.5)
        assert table.bbox_xyxy[i].tolist() == [region.bbox[1], region.bbox[0], region.bbox[3], region.bbox[2]]


def test_empty():
    table = empty_table()
    assert len(table) == 0
    assert table.centroid_xy.shape == (0, 2)
    assert table.contours_xy == ()


def test_select_shift_concatenate():
    table = instance_table(MAP)
    moved = table.select(np.array([False, True])).shifted(10, 20)
    assert moved.instance_id.tolist() == [9]
    assert moved.bbox_xyxy.tolist() == [[13, 21, 14, 22]]
    assert moved.contours_xy[0].min(axis=0).tolist() == [13, 21]
    both = InstanceTable.concatenate([table, moved])
    assert both.instance_id.tolist() == [5, 9, 9]
    assert len(both.contours_xy) == 3
    assert len(InstanceTable.concatenate([])) == 0


def test_an_instance_of_two_parts_shows_its_largest():
    table = instance_table(np.array([[1, 1, 0, 1]]))
    assert table.area_px.tolist() == [3]
    assert table.contours_xy[0].tolist() == [[0, 0], [2, 0], [2, 1], [0, 1]]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="Expected tissue_map of the instance map's size"):
        instance_table(MAP, tissue_map=np.zeros((3, 3), int))
    with pytest.raises(ValueError, match="Expected type_logits of the instance map's size"):
        instance_table(MAP, type_logits=np.zeros((2, 3, 3)))


@pytest.mark.parametrize("name", ["nuclei_prob", "tissue_map", "disagreement"])
def test_a_map_of_several_planes_is_refused(name):
    """The first one was taken: the background's probability as the nuclei's, or tissue's disagreement."""
    with pytest.raises(ValueError, match=rf"Expected {name} of .* size \(2, 4\), got \(2, 2, 4\); give one plane\."):
        instance_table(MAP, **{name: np.stack([MAP, MAP])})
    with pytest.raises(ValueError, match=r"Expected an instance_map \(H, W\), got shape \(1, 2, 4\)"):
        instance_table(MAP[None], **{name: MAP[None]})


@pytest.mark.parametrize("name", ["type_prob", "type_logits"])
@pytest.mark.parametrize("planes", [MAP, MAP[None], MAP[None, None]])
def test_types_are_of_the_background_and_a_class_or_more(name, planes):
    with pytest.raises(
        ValueError, match=rf"Expected {name} of the instance map's size \(2, 4\), with planes of the ba"
    ):
        instance_table(MAP, **{name: planes})


@pytest.mark.parametrize(
    ("instances", "tissue", "words"),
    [
        (np.array([[0, 2**31 + 5]], np.uint32), None, "from -1 to 2147483647 in instance_map, got 0 to 2147483653"),
        (np.array([[0, 2**32]]), None, "in instance_map, got 0 to 4294967296; relabel it"),
        (np.array([[0, -2]]), None, "in instance_map, got -2 to 0"),
        (np.array([[False, True]]), None, "integers as ids in instance_map, got bool"),
        (np.array([[0.0, 1.0]]), None, "integers as ids in instance_map, got float64"),
        (np.array([[0, 1]]), np.array([[0, 40000]]), "from 0 to 32767 in tissue_map, got 0 to 40000"),
        (np.array([[0, 1]]), np.array([[0, -1]]), "in tissue_map, got -1 to 0"),
        (np.array([[0, 1]]), np.array([[0.0, 1.0]]), "integers as ids in tissue_map, got float64"),
    ],
)
def test_ids_that_the_table_cannot_hold(instances, tissue, words):
    with pytest.raises(ValueError, match=words):
        instance_table(instances, tissue_map=tissue)


def test_the_highest_id_and_any_integers():
    instances = np.array([[0, 2**31 - 1], [-1, 3]])
    assert instance_table(instances).instance_id.tolist() == [3, 2**31 - 1]
    for dtype in (np.uint8, np.uint64):
        assert instance_table(MAP.astype(dtype), tissue_map=MAP.astype(dtype)).tissue_id.tolist() == [5, 9]
    assert len(instance_table(np.zeros((0, 3), int), tissue_map=np.zeros((0, 3), int))) == 0
