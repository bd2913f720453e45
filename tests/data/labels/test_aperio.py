import numpy as np
import pytest

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels import aperio
from coseg_bundle.data.labels.aperio import aperio_names, aperio_outlines


def square(first, last, negative=0):
    corners = ((first, first), (last, first), (last, last), (first, last))
    vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in corners)
    return f'<Region NegativeROA="{negative}"><Vertices>{vertices}</Vertices></Region>'


def layer(*regions, name="", attribute="Description"):
    attributes = f'<Attributes><Attribute Name="{attribute}" Id="0" Value=""/></Attributes>'
    return f'<Annotation Name="{name}">{attributes}<Regions>{"".join(regions)}</Regions></Annotation>'


def written(tmp_path, *layers):
    path = tmp_path / "a.xml"
    path.write_text(f"<Annotations>{''.join(layers)}</Annotations>")
    return path


def test_a_negative_region_is_a_hole_in_the_smallest_one_around_it(tmp_path):
    drawn = layer(square(30, 50, 1), square(0, 90), square(20, 60), square(32, 40), square(70, 80))
    skipped = []
    outlines = aperio_outlines(written(tmp_path, drawn), skipped)
    assert [len(outline.rings_xy) for outline in outlines] == [1, 2, 1, 1]
    assert outlines[1].rings_xy[1].tolist() == [[30, 30], [50, 30], [50, 50], [30, 50]]
    assert [outline.area_px for outline in outlines] == [8100, 1600, 64, 100]
    assert skipped == []


def test_a_hole_in_nothing_is_said(tmp_path):
    """One that leaves its region, and one whose region is another layer's."""
    skipped = []
    path = written(tmp_path, layer(square(0, 10), square(5, 15, 1)), layer(square(2, 4, 1)))
    assert [len(outline.rings_xy) for outline in aperio_outlines(path, skipped)] == [1]
    assert skipped == [f"{path}: region {n} is a hole (NegativeROA) that lies in no other region" for n in (2, 3)]


def test_a_hole_is_compared_with_what_may_be_around_it_alone(tmp_path, monkeypatch):
    """Corner by corner with each outline of a slide took minutes."""
    asked = []
    monkeypatch.setattr(aperio, "_encloses", lambda *rings, real=aperio._encloses: asked.append(1) or real(*rings))
    far = [square(100 * i, 100 * i + 50) for i in range(20)]
    path = written(tmp_path, layer(*far, square(702, 710, 1), square(740, 760, 1)))
    outlines = aperio_outlines(path, [])
    assert [i for i, outline in enumerate(outlines) if len(outline.rings_xy) > 1] == [7]
    assert aperio_names(path) == set()
    assert len(asked) == 1


def test_names_of_annotations(tmp_path):
    layers = (
        layer(square(0, 1)),
        layer(square(0, 1), attribute="Epithelial "),
        layer(square(0, 1), name="Layer", attribute="other"),
        layer(square(0, 1), attribute="Ambiguous"),
    )
    outlines = aperio_outlines(written(tmp_path, *layers), [])
    assert [outline.name for outline in outlines] == ["", "Epithelial", "Layer", "Ambiguous"]
    assert [outline.is_ambiguous for outline in outlines] == [False, False, False, True]
    assert [outline.layer for outline in outlines] == [0, 1, 2, 3]
    assert aperio_names(written(tmp_path, *layers)) == {"Epithelial", "Layer"}
    without = (layer(square(0, 1, 1), name="a"), layer(square(0, "x"), name="b"), layer(name="c"))
    assert aperio_names(written(tmp_path, *without)) == set()


def test_regions_of_no_annotation_and_no_points(tmp_path):
    path, skipped = written(tmp_path, square(0, 2), '<Region><Vertices><Vertex X="1"/></Vertices></Region>'), []
    (outline,) = aperio_outlines(path, skipped)
    assert (outline.name, outline.layer) == ("", -1)
    assert np.array_equal(outline.rings_xy[0], [[0, 0], [2, 0], [2, 2], [0, 2]])
    assert skipped == [f"{path}: region 2 has a point that is no place in an image"]


def test_no_xml(tmp_path):
    (tmp_path / "a.xml").write_text("cat")
    with pytest.raises(ImageFileError, match=r"a.xml: not valid XML .*; download it again"):
        aperio_outlines(tmp_path / "a.xml", [])
    with pytest.raises(ImageFileError, match=r"a.xml: not valid XML .*; download it again"):
        aperio_names(tmp_path / "a.xml")
