import json
import sqlite3
import zlib

import numpy as np
import pytest
import shapely
from scn import CORNER, write_scn

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.measures.foreign.annotation_store import read_store
from coseg_bundle.measures.measuring import Wanted, measure
from coseg_bundle.measures.opening import open_source


def write_store(path, shapes, names, compression="zlib"):
    """As `SQLiteStore` of TIAToolbox 2.1 writes it, without its index."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE metadata (key TEXT UNIQUE, value TEXT)")
        about = {"version": "1.0.1", "compression": compression, "compression_level": 9}
        connection.executemany("INSERT INTO metadata VALUES (?, ?)", [(k, json.dumps(v)) for k, v in about.items()])
        connection.execute(
            "CREATE TABLE annotations(id INTEGER PRIMARY KEY, key TEXT UNIQUE, objtype TEXT, cx FLOAT NOT NULL,"
            " cy FLOAT NOT NULL, geometry BLOB, properties TEXT, area FLOAT NOT NULL)"
        )
        for number, (shape, name) in enumerate(zip(shapes, names, strict=True)):
            outline = None if shape.geom_type == "Point" else shape.wkb
            if outline is not None and compression == "zlib":
                outline = zlib.compress(outline)
            x, y = shape.centroid.coords[0]
            properties = json.dumps({"type": name, "prob": 0.9})
            row = (None, str(number), shape.geom_type, x, y, outline, properties, shape.area)
            connection.execute("INSERT INTO annotations VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.close()
    return path


@pytest.mark.parametrize("compression", ["zlib", None])
def test_objects_of_a_store(tmp_path, compression):
    shapes = [shapely.box(0, 0, 10, 12), shapely.Point(5, 6)]
    content = read_store(write_store(tmp_path / "n.db", shapes, ["Neoplastic", "dot"], compression))
    assert [shapely.geometry.shape(feature["geometry"]) for feature in content["features"]] == shapes
    assert content["features"][0]["properties"] == {"type": "Neoplastic", "prob": 0.9}


def test_nuclei_of_a_store_count_from_the_corner_of_the_glass(tmp_path):
    """As TIAToolbox reads slides; on most slides that is where they begin."""
    slide = write_scn(tmp_path / "a.scn", np.full((256, 512, 3), (225, 150, 190), np.uint8))
    boxes = [shapely.box(x, CORNER[1] + 20, x + 10, CORNER[1] + 32) for x in range(CORNER[0], CORNER[0] + 100, 20)]
    store = write_store(tmp_path / "n.db", boxes, ["a", "b", "a", "b", "a"])
    with open_source(store, slide, 0.25) as source:
        found = measure(source, tmp_path, Wanted(stains=False))
    assert found.tables["classes"]["nuclei"].tolist() == [3, 2]
    assert (found.record["origin"], found.record["results"]["doubts"]) == ("canvas", [])
    with pytest.raises(ImageFileError, match="all lie beside it"):
        with open_source(store, slide, 0.25, "bounds"):
            pass
    of_scan = write_store(
        tmp_path / "q.db", [shapely.affinity.translate(b, *(-v for v in CORNER)) for b in boxes], "aaaaa"
    )
    with open_source(of_scan, slide, 0.25) as source:  # made of QuPath's GeoJSON
        [doubt] = source.about["doubts"]
    assert doubt.startswith(
        "0 of 5 nuclei lie on tissue, and 5 if they count from the corner of what was scanned: then give"
    )


def test_files_that_are_no_store(tmp_path):
    paths = [tmp_path / f"{number}.db" for number in range(5)]
    paths[0].write_text("x")
    sqlite3.connect(paths[1]).execute("CREATE TABLE a (b)").connection.close()
    write_store(paths[2], [shapely.box(0, 0, 1, 1)], ["a"], "lzma")
    write_store(paths[3], [shapely.box(0, 0, 1, 1)], ["a"])
    with sqlite3.connect(paths[3]) as connection:
        connection.execute("UPDATE annotations SET geometry = x'00'")
    connection.close()
    write_store(paths[4], [shapely.box(0, 0, 1, 1)], ["a"])
    with sqlite3.connect(paths[4]) as connection:
        connection.execute("UPDATE annotations SET properties = '{'")
    connection.close()
    for path in paths:
        with pytest.raises(ImageFileError, match="expected an annotation store of TIAToolbox, got something else"):
            read_store(path)
