import json

import pytest

from coseg_bundle.view.desk import Desk
from coseg_bundle.view.region_file import RegionFile, drawn_region

TRIANGLE = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}
SQUARE = {"type": "Polygon", "coordinates": [[[100, 100], [300, 100], [300, 300], [100, 300], [100, 100]]]}


def annotation(geometry, **properties):
    return {
        "type": "Feature",
        "id": "a",
        "geometry": geometry,
        "properties": {"objectType": "annotation", **properties},
    }


def test_what_a_region_was_given_in_qupath_stays():
    """All of it was gone, and points and lines too."""
    tumor = annotation(TRIANGLE, name="rim", classification={"name": "Tumor"}, measurements={"Score": 3, "Nuclei": 1})
    point = annotation({"type": "Point", "coordinates": [4, 4]}, classification={"name": "Mitosis"})
    file = RegionFile([tumor], [point], {"case": 7})
    renamed = drawn_region(TRIANGLE, "front", {"Nuclei": 2}, "a.svs")
    after = file.with_regions([renamed, drawn_region(SQUARE, "new", {}, "a.svs")])
    assert [one["properties"]["name"] for one in after.regions] == ["front", "new"]
    kept = annotation(TRIANGLE, name="front", classification={"name": "Tumor"}, measurements={"Score": 3, "Nuclei": 2})
    assert after.regions[0] == kept
    assert (after.others, after.members) == ([point], {"case": 7})
    assert file.with_regions([]) == RegionFile([], [point], {"case": 7})


def test_regions_of_one_outline_are_told_apart():
    both = [annotation(TRIANGLE, name="a", color=[1, 2, 3]), annotation(TRIANGLE, name="b", color=[4, 5, 6])]
    after = RegionFile(both).with_regions([drawn_region(TRIANGLE, name, {}, "") for name in "abc"])
    assert [one["properties"]["color"] for one in after.regions] == [[1, 2, 3], [4, 5, 6], [255, 200, 0]]


def test_numbers_as_qupath_wrote_them_before():
    numbers = [{"name": "Score", "value": 3}, {"name": "Nuclei", "value": 1}]
    file = RegionFile([annotation(TRIANGLE, measurements=numbers)])
    [region] = file.with_regions([drawn_region(TRIANGLE, "region", {"Nuclei": 2}, "")]).regions
    assert region["properties"]["measurements"] == [{"name": "Score", "value": 3}, {"name": "Nuclei", "value": 2}]
    assert "name" not in region["properties"]  # nobody named it


def test_written_and_read(tmp_path):
    path = tmp_path / "regions.geojson"
    file = RegionFile([annotation(TRIANGLE)], [annotation({"type": "Point", "coordinates": [1, 2]})], {"case": "b"})
    file.write(path)
    assert RegionFile.read(path) == file
    path.write_text(json.dumps(file.regions))  # a list, as QuPath may write it
    assert RegionFile.read(path) == RegionFile(file.regions)
    assert RegionFile.read(tmp_path / "none.geojson") == RegionFile()
    path.write_text(json.dumps(file.regions[0]))  # one object
    assert RegionFile.read(path) == RegionFile(file.regions)
    path.write_text(json.dumps(TRIANGLE))
    assert RegionFile.read(path).regions == [{"type": "Feature", "geometry": TRIANGLE}]
    nothing = {"type": "Feature", "geometry": None, "properties": {"name": "empty"}}
    path.write_text(json.dumps({"features": [nothing, file.regions[0]]}))
    assert RegionFile.read(path) == RegionFile(file.regions, [nothing])


@pytest.mark.parametrize(
    "text", ["[", "3", "{}", '{"features": 3}', '{"features": [3]}', '{"features": [{"geometry": 3}]}']
)
def test_files_that_are_no_geojson(tmp_path, text):
    path = tmp_path / "regions.geojson"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"regions\.geojson is no GeoJSON of polygons .*; it is left alone"):
        RegionFile.read(path)


def test_the_page_saves_beside_what_is_there(result, folder):
    line = annotation({"type": "LineString", "coordinates": [[0, 0], [9, 9]]})
    RegionFile([annotation(SQUARE, name="a", classification={"name": "Tumor"})], [line]).write(
        folder / "regions.geojson"
    )
    desk = Desk(result)
    features = desk.saved_regions()["features"]
    assert desk.save_regions({"features": [{**features[0], "properties": {"name": "b"}}]}) == 1
    saved = RegionFile.read(folder / "regions.geojson")
    assert saved.others == [line]
    [properties] = [region["properties"] for region in saved.regions]
    assert (properties["name"], properties["classification"]) == ("b", {"name": "Tumor"})
    assert properties["measurements"]["Nuclei"] == 4
