import numpy as np
import pytest

from coseg_bundle.data.annotations import annotations_of
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels.nuclei import MOST_CLASSES, check_classes, first_of, nuclei_of, on_image, sort_out


def ring(x, y, side):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def square(x, y, side=4, kind="detection", name="a", **more):
    properties = {"objectType": kind, **({"classification": {"name": name}} if name else {}), **more}
    return {"geometry": {"type": "Polygon", "coordinates": [ring(x, y, side)]}, "properties": properties}


def several(*corners, side=4, kind="annotation", name=""):
    parts = [[ring(x, y, side)] for x, y in corners]
    properties = {"objectType": kind, **({"classification": {"name": name}} if name else {})}
    return {"geometry": {"type": "MultiPolygon", "coordinates": parts}, "properties": properties}


FOUR = [square(x, y) for x in (10, 30) for y in (10, 30)]
AROUND = square(0, 0, 60, "annotation", name="")


def areas(*objects):
    nuclei = nuclei_of(annotations_of(list(objects), "a.geojson"))
    return [region.area_px for region in nuclei.regions], " ".join(nuclei.notes)


@pytest.mark.parametrize("objects", [[AROUND, *FOUR], [*FOUR, AROUND]], ids=["first", "last"])
def test_what_surrounds_the_nuclei_by_hand(objects):
    found, notes = areas(*objects)
    assert found == [16] * 4
    assert notes == "left out: 1 annotation around nuclei"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (square(50, 50, 4, "annotation", "Region*"), "1 of class Region*"),
        (square(50, 50, 4, "detection", "Ignore*"), "1 of class Ignore*"),
        (square(50, 50, 40, "annotation"), "annotation of more than 320 px (a)"),
        (square(50, 50, 4, "annotation", "Stroma"), "1 annotation of a class that no detection has (Stroma)"),
        (several((50, 50), (54, 54), name="Stroma"), "1 annotation of a class that no detection has (Stroma)"),
        (square(50, 50, 4, "tile"), "1 tile"),
        (square(50, 50, 4, "cell"), "1 cell without a nucleus"),
        ({"geometry": {"type": "Point", "coordinates": [1, 1]}}, "1 Point"),
    ],
)
def test_what_is_no_nucleus_is_named(other, words):
    found, notes = areas(*FOUR, other)
    assert found == [16] * 4
    assert words in notes


def test_children_and_a_parent_of_their_size():
    parent = square(9, 9, 6, "annotation", "Tissue", childObjects=[square(10, 10)])
    assert areas(parent) == ([16], "left out: 1 annotation with objects below it (Tissue)")


def test_an_annotation_among_detections_may_be_a_nucleus():
    """Who corrects a model's nuclei draws the missing ones as annotations; one may lie within another."""
    more = (square(29, 9, 7, "annotation", ""), square(70, 50, 5, "annotation", "a: Positive"))
    found, notes = areas(*FOUR, square(50, 50, 6, "annotation"), *more)
    assert found == [16] * 4 + [36, 49, 25]
    assert notes == "3 annotations beside 4 detections count as nuclei (a, a: Positive, no class)"


def test_slivers_of_tissue_are_no_nuclei():
    """What a correction leaves of regions along a drawing was counted, each as a nucleus of the tissue's class."""
    many = [square(10 * i, 200) for i in range(16)]
    slivers = [square(x, 60, side, "annotation", "gland") for x, side in ((0, 0.1), (10, 4), (20, 8))]
    found, notes = areas(*many, *slivers, square(0, 0, 60, "annotation", "gland"))
    assert found == [16] * 16
    assert notes == (
        "left out: 4 annotation of a class that no detection has (gland) "
        "annotations of classes that no detection has count as tissue; make them detections if they are nuclei"
    )
    corners = range(0, 120, 10)
    of_cells = [{**square(x, 8, 8, "cell"), "nucleusGeometry": square(x + 2, 10)["geometry"]} for x in corners]
    assert areas(*of_cells, *slivers)[0] == [16] * 12


def test_a_few_detections_do_not_turn_drawn_nuclei_into_tissue():
    """One detection without a class beside 400 annotations: 401 nuclei, of which one was left."""
    drawn = [square(10 * i, 30, 5, "annotation", "Tumor") for i in range(8)]
    point = {"geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {"objectType": "detection"}}
    line = {"type": "LineString", "coordinates": [[1, 1], [5, 5]]}
    assert areas(square(200, 200, name=""), *drawn)[0] == [16] + [25] * 8
    assert areas(*(square(200 + 10 * i, 200, name="Lymphocyte") for i in range(31)), *drawn) == (
        [16] * 31 + [25] * 8,  # of 32 on they are taken for tissue
        "8 annotations beside 31 detections count as nuclei (Tumor)",
    )
    for other in (point, {**point, "geometry": line}, square(200, 200, kind="cell")):
        assert areas(*[other] * 7, *drawn)[0] == [25] * 8
    more = [square(10 * i, 90, 5, "annotation", "Stroma") for i in range(2)]
    few = areas(*(square(200 + 10 * i, 200, name="Tumor") for i in range(8)), *drawn, *more)[0]
    assert few == [16] * 8 + [25] * 10  # four times as many as of Stroma, but most were drawn


def test_few_annotations_with_a_class_beside_detections_without_one():
    """QuPath's cell detection gives no classes; small glands beside 500 such cells were counted as nuclei."""
    detected = [square(10 * i, 0, name="") for i in range(12)]
    glands = [square(60 + 10 * i, 60, 5, "annotation", "Gland") for i in range(3)]
    added = square(60, 90, 5, "annotation", "")
    found, notes = areas(*detected, *glands)
    assert found == [16] * 12
    assert notes == (
        "left out: 3 annotation of a class that no detection has (Gland) "
        "annotations of classes that no detection has count as tissue; make them detections if they are nuclei"
    )
    assert areas(*detected, *glands[:2], added)[0] == [16] * 12 + [25]  # without a class, as the detections are
    assert areas(*detected[1:], *glands) == (  # not four times as many
        [16] * 11 + [25] * 3,
        "3 annotations beside 11 detections count as nuclei (Gland)",
    )
    assert areas(*detected, *glands, added)[0] == [16] * 12 + [25] * 4


def test_a_frame_around_what_was_corrected_says_that_classes_are_told():
    """Labels of former versions have no member `coseg`: 5 nuclei and 3 glands in a frame were 8 nuclei."""
    frame = square(0, 0, 90, "annotation", "Region*")
    glands = [square(60 + 10 * i, 60, 5, "annotation", "gland") for i in range(3)]
    detected = [square(10 * i, 10, name="epithelial") for i in range(5)]
    assert areas(*detected, *glands)[0] == [16] * 5 + [25] * 3
    assert areas(frame, *detected, *glands)[0] == [16] * 5
    assert areas(frame, *detected[:3], *glands)[0] == [16] * 3 + [25] * 3  # as many were drawn
    unclassed = [square(10 * i, 10, name="") for i in range(5)]
    assert areas(frame, *unclassed, *glands)[0] == [16] * 5 + [25] * 3


@pytest.mark.parametrize("name", ["Tumor", "tumor: positive", "Tumor: Negative", "TUMOR"])
def test_a_class_that_detections_have_derived_is_theirs(name):
    detected = [square(10 * i, 0, name="Tumor: Positive") for i in range(4)]
    assert areas(*detected, square(60, 60, 5, "annotation", name))[0] == [16] * 4 + [25]


def test_detections_that_are_ignored_say_nothing_of_annotations():
    ignored = [square(10 * i, 0, name="Ignore*") for i in range(8)]
    assert areas(*ignored, square(10, 0, 5, "annotation", "Tumor"))[0] == [25]


@pytest.mark.parametrize("name", ["Stroma", ""])
def test_beside_many_detections_without_outlines_annotations_are_none(name):
    point = {"geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {"objectType": "detection"}}
    said = r"none is left \(left out: 1 annotation beside detections without outlines.*, 4 "
    for other in (point, square(10, 10, 4, "cell")):
        with pytest.raises(ImageFileError, match=said):
            areas(*[other] * 4, square(30, 30, 6, "annotation", name))


def ours(*objects):
    content = {"type": "FeatureCollection", "coseg": {"origin": "bounds"}, "features": list(objects)}
    nuclei = nuclei_of(annotations_of(content, "a.geojson"))
    return [region.area_px for region in nuclei.regions], " ".join(nuclei.notes)


def test_our_own_nuclei_are_detections():
    """Regions of a tissue.geojson, and tissue in a frame whose nuclei were erased, were measured as nuclei."""
    tissue = [square(10 * i, 60, 4, "annotation", "gland") for i in range(3)]
    frame = square(0, 0, 90, "annotation", "Region*")
    assert ours(square(0, 0), *tissue, frame) == (
        [16],
        "left out: 3 annotation in a file of Co-Seg, whose nuclei are detections (gland), 1 of class Region*",
    )
    assert ours(frame, *tissue)[0] == ours(frame)[0] == ours()[0] == []  # somebody looked, and there are none
    with pytest.raises(ImageFileError, match=r"none is left .*3 annotation in a file of Co-Seg"):
        ours(*tissue)


def test_a_large_nucleus_alone_stays():
    assert areas(square(0, 0, 200, "annotation"))[0] == [40_000]
    assert areas(square(0, 0, 200), *FOUR)[0] == [40_000, 16, 16, 16, 16]


def test_one_object_for_each_class_is_taken_apart():
    found, notes = areas(several((0, 0), (20, 0), (0, 20)), several((40, 40), (60, 60)))
    assert found == [16] * 5
    assert "2 objects of many parts" in notes


def test_parts_that_touch_stay_two_nuclei():
    """Such an object is not valid as a whole; mended as a whole, its parts would merge."""
    found, _ = areas(several((0, 0), (4, 0), (2, 2), (40, 0), (0, 40)))
    assert found == [16] * 5


@pytest.mark.parametrize("kind", ["annotation", "detection"])
def test_crumbs_beside_a_nucleus_belong_to_it(kind):
    crumb = {"geometry": {"type": "MultiPolygon", "coordinates": [[ring(0, 0, 10)], [ring(11, 4, 1)]]}}
    assert areas(crumb | {"properties": {"objectType": kind}})[0] == [101]


@pytest.mark.parametrize(("nucleus", "cell"), [("Nuclei", "Cells"), ("Nucleus", "Cell")])
def test_cells_around_nuclei_are_left_out(nucleus, cell):
    """InstanSeg 0.1.2 writes both as detections, of the classes Nuclei and Cells; the cells would cover the nuclei."""
    both = [*(square(x, 10, name=nucleus) for x in (10, 30)), *(square(x, 8, 8, name=cell) for x in (8, 28))]
    nuclei = nuclei_of(annotations_of(both, "a.geojson"))
    assert [(region.area_px, region.name) for region in nuclei.regions] == [(16, ""), (16, "")]
    assert nuclei.notes == ("left out: 2 cells around nuclei",)
    assert areas(*both[2:])[0] == [64, 64]  # cells alone were asked for
    assert areas(*both, square(0, 0, 60, "annotation", "Region*"))[0] == [16, 16]
    added = square(60, 60, 5, "annotation", "Nuclei"), square(80, 80, 5, "annotation", "Tumor")
    assert areas(*both, *added)[0] == [16, 16, 25, 25]  # the nuclei have no class


def test_nothing_is_left():
    with pytest.raises(ImageFileError, match=r"a.geojson: expected nuclei, and none is left \(left out: 1 of class Re"):
        areas(square(0, 0, 9, "annotation", "Region*"))
    assert areas() == ([], "")


def test_tissue_and_nuclei_in_one_file():
    drawn = annotations_of(
        [*FOUR, square(0, 0, 60, "annotation", "gland"), AROUND, square(0, 0, 3, name="a: Positive")], "a.geojson"
    )
    found = sort_out(drawn, ["stroma", "gland"], ["a", "b"])
    assert [region.name for region in found.nuclei] == ["a"] * 5
    assert [region.name for region in found.tissue] == ["gland"]
    assert found.unknown == ()
    assert found.notes == ("left out: 1 annotation around nuclei",)
    cat = annotations_of([square(0, 0, name="cat"), square(9, 9, name="")], "a.geojson")
    assert sort_out(cat, ["gland"], ["a"]).unknown == ("cat", "no class")


def test_a_class_of_tissue_and_of_nuclei_is_told_by_the_kind_of_object():
    """QuPath's habit: the nuclei wiped the tissue out of the map, and its region was left out as one around nuclei."""
    drawn = square(0, 0, 60, "annotation", "Tumor")
    both = [drawn, square(9, 9, 4, name="Tumor: Positive"), square(20, 9, 4, name="Tumor")]
    found = sort_out(annotations_of(both, "a.geojson"), ["Tumor", "Stroma"], ["Tumor"])
    assert [(region.name, region.area_px) for region in found.tissue] == [("Tumor", 3600)]
    assert [(region.name, region.area_px) for region in found.nuclei] == [("Tumor", 16)] * 2
    assert found.notes == (
        "annotations of classes of tissue and of nuclei count as tissue, detections as nuclei: 1 Tumor",
    )


def test_thousands_of_nuclei_are_all_kept():
    rng = np.random.default_rng(0)
    corners = [(60 * (i % 55), 60 * (i // 55)) for i in range(3000)]
    sides = np.exp(rng.normal(2.5, 0.3, 3000)).tolist()
    objects = [square(x, y, side, "annotation") for (x, y), side in zip(corners, sides, strict=True)]
    assert len(areas(*objects)[0]) == 3000


def test_what_lies_beside_the_image_is_left_out_and_counted():
    found = nuclei_of(annotations_of([square(10, 10), square(38, 10), square(40, 10), square(10, -4)], "a.geojson"))
    kept = on_image(found, (40, 30), "a.geojson")  # the second reaches over the edge, the others only touch it
    assert [region.area_px for region in kept.regions] == [16, 16]
    assert kept.notes == ("left out: 2 nuclei that lie beside the image",)
    assert on_image(kept, (40, 30), "a.geojson") is kept
    nothing = nuclei_of(annotations_of([], "a.geojson"))
    assert on_image(nothing, (40, 30), "a.geojson") is nothing


def test_nuclei_of_another_place():
    found = nuclei_of(annotations_of([square(100, 10), square(10, -20)], "a.geojson"))
    with pytest.raises(
        ImageFileError, match=r"a\.geojson: expected nuclei on an image of 40 x 30 pixels, got 2 that all"
    ):
        on_image(found, (40, 30), "a.geojson")
    assert on_image(found, (np.inf, np.inf), "a.geojson").regions == found.regions[:1]
    above = nuclei_of(annotations_of([square(10, -20)], "a.geojson"))
    with pytest.raises(ImageFileError, match="expected nuclei on an image, got 1 that all lie beside it; export them"):
        on_image(above, (np.inf, np.inf), "a.geojson")


def test_names_of_nuclei_are_no_classes():
    names = [f"nucleus {number}" for number in range(MOST_CLASSES)]
    check_classes(names, "a.geojson")
    said = r"at most 126 classes of nuclei, got 127 \(nucleus 0, nucleus 1, nucleus 2, \.\.\.\); give nuclei the name"
    with pytest.raises(ImageFileError, match=said):
        check_classes([*names, "another"], "a.geojson")
    assert first_of("abc", 3) == "a, b, c"


def test_a_nucleus_that_is_ignored_by_more_than_a_half_is_given_up():
    objects = [square(0, 0), square(4, 3), square(0, 0, 5, "annotation", "Ignore*")]
    instances = np.zeros((9, 9), np.int32)
    instances[0:4, 0:4], instances[3:7, 4:8] = 1, 2
    expected = np.zeros((9, 9), bool)
    expected[0:5, 0:5] = True
    expected[3:5, 4] = False  # of the second nucleus
    found = nuclei_of(annotations_of(objects, "a.geojson"))
    assert np.array_equal(found.unlabelled(instances), expected)
