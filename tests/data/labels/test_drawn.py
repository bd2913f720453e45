import json

import numpy as np
import pytest

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels.drawn import read_drawn
from coseg_bundle.data.labels.nuclei import sort_out
from coseg_bundle.service.formats import WRITERS
from coseg_bundle.service.shapes import Answer, Shape


@pytest.mark.parametrize("name", ["geojson", "asap", "dsa"])
def test_what_the_server_writes_it_reads_again(name, tmp_path):
    """Nuclei of a class that tissue has too became tissue, where the format does not tell detections apart."""
    ring = np.array([[1.5, 2], [9, 2], [9, 8], [1.5, 8]])
    suffix, write = WRITERS[name]
    path = tmp_path / f"answer{suffix}"
    shapes = tuple(Shape(group, "tumor", (1, 2, 3), (ring,), 0.9) for group in ("nuclei", "tissue"))
    write(path, Answer(shapes, (0, 0, 9, 9)), "coseg")
    drawn = read_drawn(path)
    assert [(region.name, region.kind) for region in drawn.regions] == [("tumor", "detection"), ("tumor", "annotation")]
    assert [region.rings_xy[0].tolist() for region in drawn.regions] == [ring.tolist()] * 2
    found = sort_out(drawn, ["stroma", "tumor"], ["tumor"])
    assert (len(found.nuclei), len(found.tissue)) == (1, 1)


def test_a_document_of_the_dsa_may_be_wrapped(tmp_path):
    element = {"type": "polyline", "points": [[0, 0, 0], [4, 0, 0], [4, 4, 0]], "group": "gland"}
    (tmp_path / "a.json").write_text(json.dumps({"annotation": {"elements": [element, 3]}}))
    drawn = read_drawn(tmp_path / "a.json")
    assert [region.name for region in drawn.regions] == ["gland"]
    assert len(drawn.skipped) == 1


def test_coordinates_with_decimal_commas(tmp_path):
    points = "".join(
        f'<Coordinate Order="{i}" X="{x},5" Y="{y},0"/>' for i, (x, y) in enumerate([(0, 0), (3, 0), (3, 3)])
    )
    (tmp_path / "a.xml").write_text(
        f'<ASAP_Annotations><Annotation Name="gland">{points}</Annotation></ASAP_Annotations>'
    )
    assert read_drawn(tmp_path / "a.xml").regions[0].rings_xy[0].tolist() == [[0.5, 0], [3.5, 0], [3.5, 3]]


@pytest.mark.parametrize("kind", ["Polygon", "MultiPolygon"])
def test_our_geojson_says_where_it_lies(kind, tmp_path):
    """That of a run over the whole glass lay wrong on what was scanned of it."""
    ring = [[107, 9], [110, 9], [110, 13], [107, 9]]
    geometry = {
        "type": kind,
        "coordinates": [ring] if kind == "Polygon" else [[ring], [[*ring[:2], [110, 5], ring[0]]]],
    }
    content = {"coseg": {"origin": "canvas"}, "type": "Feature", "geometry": geometry, "properties": {}}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(content))
    [still], [moved] = read_drawn(path).regions, read_drawn(path, (100, 5)).regions
    assert [7, 4] in moved.rings_xy[0].tolist()
    for before, after in ((still, moved), *zip(still.parts, moved.parts, strict=True)):
        assert [(ring - (100, 5)).tolist() for ring in before.rings_xy] == [ring.tolist() for ring in after.rings_xy]
        assert before.area_px == after.area_px
    assert len(moved.parts) == (0 if kind == "Polygon" else 2)
    del content["coseg"]
    path.write_text(json.dumps(content))
    assert [107, 9] in read_drawn(path, (100, 5)).regions[0].rings_xy[0].tolist()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.xml", "the XML of ASAP"),
        ("a.json", "GeoJSON or an annotation of the DSA, got something else"),
        ("b.json", "a GeoJSON"),
    ],
)
def test_other_files_are_refused(name, words, tmp_path):
    (tmp_path / name).write_text("3" if name == "b.json" else "<cat")
    with pytest.raises(ImageFileError, match=words):
        read_drawn(tmp_path / name)


def test_an_unknown_encoding_and_odd_elements_are_no_traceback(tmp_path):
    (tmp_path / "a.xml").write_text('<?xml version="1.0" encoding="klingon"?><ASAP_Annotations/>')
    with pytest.raises(ImageFileError, match="the XML of ASAP, got something else"):
        read_drawn(tmp_path / "a.xml")
    (tmp_path / "a.json").write_text(json.dumps({"elements": [{"points": [1]}, {"points": 3}, {"holes": [[2]]}]}))
    drawn = read_drawn(tmp_path / "a.json")
    assert (drawn.regions, len(drawn.skipped)) == ((), 3)
