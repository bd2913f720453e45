import json

import pytest
import shapely

from coseg_bundle.data.labels.regions import RegionOfInterest
from coseg_bundle.wsi.results.regions_file import REGIONS, is_of_a_run, write_regions_of_interest


@pytest.fixture
def written(tmp_path):
    region = RegionOfInterest("core", "Tumor", shapely.box(0, 0, 40, 20))
    place = {"origin": "bounds", "origin_x_px": 3, "origin_y_px": 4}
    about = write_regions_of_interest(tmp_path, [region], [7], 0.5, place)
    assert about == [{"name": "core", "class": "Tumor", "area_um2": 200.0, "nuclei": 7}]  # by hand
    return tmp_path / REGIONS


def test_a_file_of_a_run(written):
    assert is_of_a_run(written)
    assert not is_of_a_run(written.parent / "no.geojson")


@pytest.mark.parametrize("other", ["drawn", "without a place", "with ids", "empty", "no objects", "none", "broken"])
def test_a_file_of_a_person(written, other):
    content = json.loads(written.read_text())
    if other == "drawn":  # as coseg view saves it
        content["features"][0]["properties"]["measurements"] = {"Nuclei": 7, "Area um2": 200.0, "Nuclei: tumor": 7}
    elif other == "without a place":
        del content["coseg"]
    elif other == "with ids":
        content["features"][0]["id"] = "d7c5"
    elif other == "empty":
        content["features"] = []
    elif other == "no objects":
        content["features"] = ["a"]
    written.write_text("{" if other == "broken" else json.dumps(content if other != "none" else [content]))
    assert not is_of_a_run(written)
