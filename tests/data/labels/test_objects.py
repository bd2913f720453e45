import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coseg_bundle.data.labels.objects import Drawn, class_name, known_class, objects_of

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]}
INNER = {"type": "Polygon", "coordinates": [[[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]]}


def feature(kind=None, geometry=SQUARE, **more):
    properties = {"objectType": kind} if kind else {}
    return {"type": "Feature", "geometry": geometry, "properties": properties | more.pop("properties", {}), **more}


def test_a_cell_in_an_annotation_by_hand():
    cell = feature("cell", nucleusGeometry=INNER, properties={"classification": {"names": ["Tumor", "Positive"]}})
    parent = feature("annotation", properties={"childObjects": [cell], "classification": {"name": "Region*"}})
    above, below = objects_of({"type": "FeatureCollection", "features": [parent]})
    assert (above.kind, above.name, above.has_children, above.geometry) == ("annotation", "Region*", True, SQUARE)
    assert (below.kind, below.name, below.is_nucleus, below.geometry) == ("cell", "Tumor: Positive", True, INNER)


@pytest.mark.parametrize(
    ("classification", "name"),
    [
        (None, ""),
        ({}, ""),
        ("Tumor", "Tumor"),
        ("Tumor:Positive", "Tumor: Positive"),
        ({"name": "Tumor: Positive", "colorRGB": -3}, "Tumor: Positive"),
        ({"names": ["Tumor", "Positive", "1+"], "color": [1, 2, 3]}, "Tumor: Positive: 1+"),
        ({"name": "Positive", "parentClass": {"name": "Tumor"}}, "Tumor: Positive"),
        ({"name": None, "names": None}, ""),
        ("Unclassified", ""),
    ],
)
def test_classes_in_every_spelling(classification, name):
    assert class_name(classification) == name


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (feature("detection"), "detection"),
        (feature(), "annotation"),
        (feature("something new"), "annotation"),
        (feature(properties={"object_type": "tma_core"}), "core"),
        (feature("tmaCore"), "core"),
        (feature(properties={"type": "cell"}), "cell"),
        (feature(id="PathDetectionObject"), "detection"),
        (feature("tile"), "tile"),
        (SQUARE, "annotation"),
    ],
)
def test_types_in_every_spelling(part, kind):
    (drawn,) = objects_of([part])
    assert drawn.kind == kind


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"type": "Neoplastic", "prob": 0.9}, "Neoplastic"),
        ({"type": 2}, "2"),
        ({"type": 0}, "0"),
        ({"type": "Stroma", "class": 3}, "Stroma"),
        ({"class": "Stroma"}, "Stroma"),
        ({"class_name": "Stroma"}, "Stroma"),  # a column of a GeoDataFrame
        ({"type": "detection", "class": "Stroma"}, "Stroma"),
        ({"type": "annotation"}, ""),
        ({"type": True, "class": None}, ""),
        ({"type": ["a"], "class": 0.5}, ""),
        ({"type": "Neoplastic", "classification": {"name": "Tumor"}}, "Tumor"),
        ({"type": "Neoplastic", "classification": "Unclassified"}, ""),
    ],
)
def test_classes_as_tiatoolbox_writes_them(properties, name):
    """All nuclei of such a file were of one class, and nothing said so."""
    (drawn,) = objects_of({"type": "FeatureCollection", "features": [feature(properties=properties)]})
    assert (drawn.name, drawn.kind) == (name, "detection" if properties.get("type") == "detection" else "annotation")


def test_the_root_is_no_object_and_children_are_not_counted_twice():
    child = feature("detection", id="3fa85f64-5717-4562-b3fc-2c963f66afa6")
    root = {"geometry": {}, "properties": {"objectType": "root", "children": [child]}}
    assert [drawn.kind for drawn in objects_of([root, child])] == ["detection"]
    assert len(list(objects_of([child | {"id": "x"}, child | {"id": "x", "geometry": INNER}]))) == 2


def test_a_class_that_is_derived_counts_as_its_base():
    assert known_class("Tumor: Positive: 1+", ["Tumor"]) == "Tumor"
    assert known_class("Tumor: Positive", ["Tumor", "Tumor: Positive"]) == "Tumor: Positive"
    assert known_class("Positive", ["Tumor"]) is None


@pytest.mark.parametrize("content", [None, 3, "a", {}, {"features": {}}, {"a": 1}])
def test_what_is_no_geojson(content):
    with pytest.raises(TypeError, match="features are a"):
        list(objects_of(content))


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    *("type", "geometry", "properties", "features", "childObjects", "children", "classification"),
                    *("name", "names", "parentClass", "objectType", "nucleusGeometry", "id", "coordinates"),
                ]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_whatever_stands_in_a_list_is_one_object_or_passed_on(value):
    for drawn in objects_of(json.loads(json.dumps([value]))):
        assert not isinstance(drawn, Drawn) or isinstance(drawn.name, str)
