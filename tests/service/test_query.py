import pytest

from coseg_bundle.service.query import Query


def test_the_fields_of_a_client():
    query = Query.of(
        {"level": 1, "location": [10, 20], "size": [30.0, 40], "tile_size": [1, 1], "mpp": "0.5", "classes": "gland"}
    )
    assert (query.location, query.size, query.level, query.mpp) == ((10, 20), (30, 40), 1, 0.5)
    assert (query.format, query.classes) == ("geojson", ("gland",))


def test_nothing_asked_is_the_whole_image():
    assert Query.of({}).box((100, 50)) == (0, 0, 100, 50)
    assert Query.of({"size": [0, 0]}).box((100, 50)) == (0, 0, 100, 50)


def test_size_counts_pixels_of_the_level():
    assert Query.of({"location": [8, 8], "size": [10, 5]}).box((100, 50), downsample=4.0) == (8, 8, 40, 20)


def test_a_region_is_cut_at_the_border():
    assert Query.of({"location": [-10, 40], "size": [30, 30]}).box((100, 50)) == (0, 40, 20, 10)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"location": [1]}, "location to be 2 whole numbers"),
        ({"origin": "glass"}, "Unknown origin 'glass': expected bounds or canvas"),
        ({"location": "cat"}, "location to be 2 whole numbers"),
        ({"size": [3, None]}, "size to be 2 whole numbers"),
        ({"size": [-1, 3]}, "a size of positive numbers"),
        ({"size": [0, 3]}, "a size of positive numbers"),
        ({"level": -1}, "a level of 0 or more"),
        ({"level": [1, 2]}, "level to be 1 whole number,"),
        ({"mpp": "cat"}, "mpp in microns per pixel"),
        ({"mpp": float("inf")}, "mpp in microns per pixel"),
        ({"mpp": True}, "mpp in microns per pixel"),
        ({"mpp": [0.5]}, "mpp in microns per pixel"),
        ({"format": "cat"}, "Unknown format 'cat': expected one of geojson, asap, dsa, json"),
        ({"classes": 3}, "Expected classes to be a list of names, got 3"),
        ({"classes": {"gland": 1}}, "Expected classes to be a list of names"),
        ({"correction": [1]}, "a GeoJSON FeatureCollection, got list"),
    ],
)
def test_senseless_fields_are_named(request_, words):
    with pytest.raises(ValueError, match=words):
        Query.of(request_)


@pytest.mark.parametrize("location", [[100, 0], [0, 50], [-30, 0]])
def test_a_region_outside_is_refused(location):
    with pytest.raises(ValueError, match="lies outside the image"):
        Query.of({"location": location, "size": [30, 30]}).box((100, 50))
