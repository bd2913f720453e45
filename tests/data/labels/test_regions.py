import json
import re

import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels.regions import read_regions, regions_containing

SIZE = (1000, 800)


def feature(geometry, name=None, classification=None, kind="annotation"):
    properties = {"objectType": kind}
    properties |= {"name": name} if name else {}
    properties |= {"classification": {"name": classification}} if classification else {}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def polygon(*corners):
    return {"type": "Polygon", "coordinates": [[*map(list, corners), list(corners[0])]]}


SQUARE = polygon((0, 0), (10, 0), (10, 10), (0, 10))


def write(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def test_names_and_classes_are_kept(tmp_path):
    path = write(
        tmp_path / "r.geojson",
        feature(SQUARE, "Core", "Tumor"),
        feature(SQUARE, None, "Stroma"),
        feature(SQUARE, "Core"),
        feature(SQUARE),
        feature(SQUARE, "Core 2", "Tumor"),
        feature(SQUARE, kind="detection"),
        feature(SQUARE, "A-1", kind="core"),
    )
    found = read_regions(path, SIZE)
    assert [(r.name, r.class_name) for r in found.regions] == [
        ("Core", "Tumor"),
        ("Stroma 1", "Stroma"),
        ("Core 3", ""),
        ("region 1", ""),
        ("Core 2", "Tumor"),
        ("A-1", ""),
    ]
    assert found.refused == ()
    assert found.notes == (f"{path}: left out: 1 detection",)
    assert found.regions[0].polygon.area == 100


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        (polygon((0, 0), (10, 10), (10, 0), (0, 10)), r"region 2 \(bad\) crosses itself at 5 5; it is left out\."),
        (polygon((0, 0), (10, 0), (20, 0)), r"region 2 \(bad\) has no area"),
        ({"type": "LineString", "coordinates": [[0, 0], [5, 5]]}, r"region 2 \(bad\) has no area \(LineString\)"),
        ({"type": "Point", "coordinates": [0, 0]}, "has no area"),
        (polygon((2000, 0), (2010, 0), (2010, 10)), r"lies outside the slide of 1000 x 800 px"),
        (polygon((-10, 0), (0, 0), (0, 10), (-10, 10)), "lies outside the slide"),
        (polygon((0, 0), (1e300, 0), (5, 5)), "has a point that is no place in an image"),
        (None, "has no geometry"),
        ({"type": "Polygon", "coordinates": []}, "has no area"),
        (
            {
                "type": "Polygon",
                "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]], [[20, 20], [30, 20], [30, 30], [20, 20]]],
            },
            r"is no sound polygon \(Hole lies outside shell",
        ),
    ],
)
def test_a_bad_region_is_a_sentence_and_the_others_go_on(tmp_path, geometry, words):
    path = write(tmp_path / "r.geojson", feature(SQUARE), feature(geometry, "bad"), feature(SQUARE))
    found = read_regions(path, SIZE)
    assert len(found.regions) == 2
    [sentence] = found.refused
    assert sentence.startswith(f"{path}: region 2 (bad) ")
    assert re.search(words, sentence)


def test_only_bad_ones(tmp_path):
    path = write(tmp_path / "r.geojson", feature(polygon((0, 0), (10, 10), (10, 0), (0, 10))))
    with pytest.raises(ImageFileError, match=r"no region in it can be used \(first: region 1 crosses itself"):
        read_regions(path, SIZE)


def test_an_outline_that_touches_itself_is_clear(tmp_path):
    bow = polygon((0, 0), (10, 0), (5, 5), (10, 10), (0, 10), (5, 5))
    [region] = read_regions(write(tmp_path / "r.geojson", feature(bow)), SIZE).regions
    assert region.polygon.is_valid
    assert region.polygon.area == 50


def test_parts_that_share_an_edge_are_one_area(tmp_path):
    """They were refused as crossing themselves; parts that overlap still are, since nobody knows what was meant."""
    left, right, over = (
        polygon((x, y), (x + 10, y), (x + 10, y + 10), (x, y + 10)) for x, y in ((0, 0), (10, 0), (5, 5))
    )
    features = [
        feature({"type": "MultiPolygon", "coordinates": [left["coordinates"], other["coordinates"]]})
        for other in (right, over)
    ]
    found = read_regions(write(tmp_path / "r.geojson", *features), SIZE)
    assert shapely.equals(found.regions[0].polygon, shapely.box(0, 0, 20, 10))
    assert found.refused == (f"{tmp_path / 'r.geojson'}: region 2 crosses itself at 5 10; it is left out.",)


def test_a_core_that_is_missing_is_no_region(tmp_path):
    """QuPath marks places of a microarray whose core was lost; they had rows like any other."""
    cores = [feature(SQUARE, name, kind="tmaCore") for name in ("A-1", "A-2", None)]
    cores[0]["properties"]["isMissing"] = cores[2]["properties"]["isMissing"] = True
    cores[1]["properties"]["isMissing"] = False
    path = write(tmp_path / "r.geojson", *cores)
    found = read_regions(path, SIZE)
    assert [region.name for region in found.regions] == ["A-2"]
    assert found.notes == (f"{path}: left out: 2 core marked as missing",)


def test_what_reaches_beyond_the_slide_is_cut(tmp_path):
    path = write(tmp_path / "r.geojson", feature(polygon((990, 0), (1010, 0), (1010, 10), (990, 10)), "edge"))
    found = read_regions(path, SIZE)
    assert found.regions[0].polygon.bounds == (990, 0, 1000, 10)
    assert "region 1 reaches beyond the slide and is cut" in found.notes[0]
    assert read_regions(path).regions[0].polygon.area == 200


def test_left_of_the_corner_there_is_no_slide(tmp_path):
    """Where its size is not known, regions counted whole there, and the plane of areas began at the corner."""
    above, corner = polygon((0, -20), (10, -20), (10, 0), (0, 0)), polygon((-10, -10), (10, -10), (10, 10), (-10, 10))
    path = write(tmp_path / "r.geojson", feature(above, "above"), feature(corner, "corner"))
    found = read_regions(path)
    assert [region.polygon.bounds for region in found.regions] == [(0, 0, 10, 10)]
    assert found.refused == (f"{path}: region 1 (above) lies outside the slide; it is left out.",)
    assert "region 2 reaches beyond the slide and is cut" in found.notes[0]


ASAP = """<?xml version="1.0"?><ASAP_Annotations><Annotations>
<Annotation Name="Annotation 0" Type="Polygon" PartOfGroup="Tumor" Color="#64FE2E"><Coordinates>
<Coordinate Order="0" X="110" Y="120"/><Coordinate Order="2" X="130,0" Y="140"/><Coordinate Order="1" X="130" Y="120"/>
<Coordinate Order="3" X="110" Y="140"/></Coordinates></Annotation>
<Annotation Name="Annotation 1" Type="Spline" PartOfGroup="None"><Coordinates>
<Coordinate Order="0" X="100" Y="100"/><Coordinate Order="1" X="120" Y="100"/><Coordinate Order="2" X="110" Y="110"/>
</Coordinates></Annotation>
<Annotation Name="Dot" Type="Dot" PartOfGroup="None">
<Coordinates><Coordinate Order="0" X="1" Y="1"/></Coordinates></Annotation>
<Annotation Name="Odd" Type="Polygon" PartOfGroup="None">
<Coordinates><Coordinate Order="0" X="a" Y="1"/></Coordinates></Annotation>
</Annotations><AnnotationGroups/></ASAP_Annotations>"""


@pytest.mark.parametrize(("origin", "corner"), [("bounds", (100, 50)), ("canvas", (0, 0))])
def test_our_geojson_says_where_it_lies(tmp_path, origin, corner):
    """That of a run over the whole glass lay wrong on a run over what was scanned of it, by the scan's corner."""
    said = {"origin": origin, "origin_x_px": corner[0], "origin_y_px": corner[1]}
    content = {"type": "FeatureCollection", "features": [feature(polygon((110, 60), (130, 60), (130, 80)), "a")]}
    path = tmp_path / "tissue.geojson"
    path.write_text(json.dumps({**content, "coseg": said}))

    def bounds(*place):
        return read_regions(path, SIZE, *place).regions[0].polygon.bounds

    assert bounds((100, 50)) == (10 + corner[0], 10 + corner[1], 30 + corner[0], 30 + corner[1])
    assert bounds((0, 0)) == (110 + corner[0], 60 + corner[1], 130 + corner[0], 80 + corner[1])
    assert bounds() == (110, 60, 130, 80)  # nothing says where the slide's (0, 0) is
    path.write_text(json.dumps(content))
    assert bounds((100, 50)) == (110, 60, 130, 80)  # as QuPath counts
    path.write_text(json.dumps({**content, "coseg": {"origin": "corner"}}))
    with pytest.raises(ImageFileError, match=r"tissue\.geojson: expected a member coseg that says where \(0, 0\) lies"):
        bounds((100, 50))


def test_our_regions_are_taken_as_they_are(tmp_path):
    """What was cut at the slide's border begins at another corner when it is cut again: other regions, as it seemed."""
    content = {"type": "FeatureCollection", "features": [feature(polygon((-5, 3), (10, 0), (10, 10), (0, 10)))]}
    path = tmp_path / "r.geojson"
    path.write_text(json.dumps(content))
    [cut] = read_regions(path, SIZE, (0, 0)).regions
    content["features"][0]["geometry"] = shapely.geometry.mapping(cut.polygon)
    path.write_text(json.dumps({**content, "coseg": {}}))
    [again] = read_regions(path, SIZE, (0, 0)).regions
    assert again.polygon.wkt == cut.polygon.wkt


def test_asap_counts_from_the_canvas(tmp_path):
    path = tmp_path / "r.xml"
    path.write_text(ASAP)
    found = read_regions(path, SIZE, (100, 100))
    assert [(r.name, r.class_name, r.polygon.bounds) for r in found.regions] == [
        ("Annotation 0", "Tumor", (10, 20, 30, 40)),
        ("Annotation 1", "", (0, 0, 20, 10)),
    ]
    assert [sentence.partition(": ")[2] for sentence in found.refused] == [
        "region 3 (Dot) has no area; it is left out.",
        "region 4 (Odd) has a point that is no place; it is left out.",
    ]
    assert "a spline, taken as the polygon of its points" in found.notes[0]


def test_label_image(tmp_path):
    labels = np.zeros((80, 100), np.uint8)
    labels[10:30, 10:30] = 2
    labels[15:25, 15:25] = 0
    labels[18:22, 18:22] = 2
    labels[50:60, 50:90] = 7
    labels[0:5, 0:5] = 7
    tifffile.imwrite(tmp_path / "r.tif", labels)
    found = read_regions(tmp_path / "r.tif", SIZE)
    assert [(r.name, r.class_name) for r in found.regions] == [("2 1", "2"), ("7 1", "7")]
    assert [r.polygon.area for r in found.regions] == [(400 - 100 + 16) * 100, 425 * 100]
    with pytest.raises(ImageFileError, match="a label image says nothing of its place without the slide"):
        read_regions(tmp_path / "r.tif")
    with pytest.raises(ImageFileError, match=r"has 100 x 80 pixels and the slide 1000 x 100, another shape"):
        read_regions(tmp_path / "r.tif", (1000, 100))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("r.xml", "<a", "not valid XML"),
        ("r.xml", "<Annotations/>", "got XML of Annotations; save it with ASAP"),
        ("r.geojson", "3", "got something else"),
        ("r.geojson", "{", "got something else"),
        ("r.txt", "", r"got \.txt; export the regions as one"),
    ],
)
def test_other_files(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ImageFileError, match=words):
        read_regions(tmp_path / name, SIZE)
    with pytest.raises(ImageFileError, match="file not found"):
        read_regions(tmp_path / f"no {name}", SIZE)


def test_points_on_an_edge_belong_to_the_right_and_below():
    left, right, below = shapely.box(0, 0, 2, 2), shapely.box(2, 0, 4, 2), shapely.box(0, 2, 4, 4)
    x, y = np.array([1.0, 2.0, 2.0, 3.0, 0.0, 4.0]), np.array([1.0, 1.0, 2.0, 2.0, 0.0, 1.0])
    points, regions = regions_containing([left, right, below], x, y)
    assert list(zip(points.tolist(), regions.tolist(), strict=True)) == [(0, 0), (1, 1), (2, 2), (3, 2), (4, 0)]
    assert len(regions_containing([], x, y)[0]) == len(regions_containing([left], x[:0], y[:0])[0]) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_polygons_that_part_a_plane_share_no_point(seed):
    rng = np.random.default_rng(seed)
    frame = shapely.box(0, 0, 20, 20)
    cells = shapely.voronoi_polygons(shapely.MultiPoint(rng.integers(0, 21, (8, 2))), extend_to=frame)
    regions = [shapely.intersection(cell, frame) for cell in shapely.get_parts(cells)]
    x, y = rng.integers(0, 40, (2, 200)) / 2  # many on edges and corners
    points, _ = regions_containing([region for region in regions if region.area], x, y)
    assert points.tolist() == list(range(200))
