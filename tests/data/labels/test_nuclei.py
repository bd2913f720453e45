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
        (several((50, 50), (70, 70), (90, 50), name="Stroma"), "1 annotation of a class that no detection has (Stroma"),
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
    assert notes == "3 annotations beside detections count as nuclei, being of their classes or of none"


def test_slivers_of_tissue_are_no_nuclei():
    """What a correction leaves of regions along a drawing was counted, each as a nucleus of the tissue's class."""
    slivers = [square(x, 60, side, "annotation", "gland") for x, side in ((0, 0.1), (10, 4), (20, 8))]
    found, notes = areas(*FOUR, *slivers, square(0, 0, 60, "annotation", "gland"))
    assert found == [16] * 4
    assert notes == "left out: 4 annotation of a class that no detection has (gland)"
    of_cells = [{**square(x, 8, 8, "cell"), "nucleusGeometry": square(x + 2, 10)["geometry"]} for x in (8, 28)]
    assert areas(*of_cells, *slivers)[0] == [16, 16]
    assert areas(*(square(x, 10, name="") for x in (10, 30)), *slivers)[0] == [16, 16]  # StarDist's have no class


def test_the_class_that_detections_are_derived_from_is_one_of_tissue():
    """QuPath's detections in an annotation `Tumor` are `Tumor: Positive` and `Tumor: Negative`."""
    assert areas(square(0, 0, name="Tumor: Positive"), square(10, 0, name="Tumor"))[0] == [16, 16]
    assert areas(square(0, 0, name="Tumor: Positive"), square(10, 0, 4, "annotation", "Tumor"))[0] == [16]


def test_detections_that_are_ignored_say_nothing_of_annotations():
    assert areas(square(0, 0, name="Ignore*"), square(10, 0, 5, "annotation", "Tumor"))[0] == [25]


@pytest.mark.parametrize("name", ["Stroma", ""])
def test_beside_cells_without_nuclei_annotations_are_none(name):
    with pytest.raises(
        ImageFileError, match=r"and none is left .*1 annotation of a class that no detection has.*1 cell"
    ):
        areas(square(10, 10, 4, "cell"), square(30, 30, 6, "annotation", name))
    point = {"geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {"objectType": "detection"}}
    with pytest.raises(ImageFileError, match=r"none is left .*1 detection without an area\)"):
        areas(point, square(30, 30, 6, "annotation", name))


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


def test_cells_around_nuclei_are_left_out():
    """InstanSeg 0.1.2 writes both as detections, of the classes Nuclei and Cells; the cells would cover the nuclei."""
    both = [*(square(x, 10, name="Nuclei") for x in (10, 30)), *(square(x, 8, 8, name="Cells") for x in (8, 28))]
    nuclei = nuclei_of(annotations_of(both, "a.geojson"))
    assert [(region.area_px, region.name) for region in nuclei.regions] == [(16, ""), (16, "")]
    assert nuclei.notes == ("left out: 2 cells around nuclei",)
    assert areas(*both[2:])[0] == [64, 64]  # cells alone were asked for
    assert areas(*both, square(0, 0, 60, "annotation", "Region*"))[0] == [16, 16]
    assert areas(*both, square(60, 60, 5, "annotation", "Nuclei"), square(80, 80, 5, "annotation", "Tumor"))[0] == [
        *(16, 16, 25),
    ]


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


def test_names_of_nuclei_are_no_classes():
    names = [f"nucleus {number}" for number in range(MOST_CLASSES)]
    check_classes(names, "a.geojson")
    said = r"at most 126 classes of nuclei, got 127 \(nucleus 0, nucleus 1, nucleus 2, \.\.\.\); give nuclei the name"
    with pytest.raises(ImageFileError, match=said):
        check_classes([*names, "another"], "a.geojson")
    assert first_of("abc", 3) == "a, b, c"
