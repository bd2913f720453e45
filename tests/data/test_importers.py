import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import savemat

from coseg_bundle.cli import main
from coseg_bundle.data.datalist import DatalistError, load_datalist
from coseg_bundle.data.image_io import ImageFileError
from coseg_bundle.data.importers import IMPORTERS, convert

RGB = np.random.default_rng(0).integers(0, 255, (8, 10, 3), dtype=np.uint8)
INSTANCES = np.zeros((8, 10), np.int32)
INSTANCES[1:3, 1:4], INSTANCES[4:7, 5:9] = 1, 2
TYPES = np.array([0, 4, 2])[INSTANCES]


def make_monuseg(folder):
    Image.fromarray(RGB).save(folder / "a.tif")
    corners = [[(1, 1), (4, 1), (4, 3), (1, 3)], [(5, 4), (9, 4), (9, 7), (5, 7)]]
    regions = [
        "<Region><Vertices>" + "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ring) + "</Vertices></Region>"
        for ring in corners
    ]
    (folder / "a.xml").write_text(
        f"<Annotations><Annotation><Regions>{''.join(regions)}</Regions></Annotation></Annotations>"
    )


def make_glas(folder):
    Image.fromarray(RGB).save(folder / "a.bmp")
    Image.fromarray(INSTANCES.astype(np.uint8)).save(folder / "a_anno.bmp")


def make_consep(folder):
    Image.fromarray(RGB).save(folder / "a.png")
    savemat(folder / "a.mat", {"inst_map": INSTANCES.astype(float), "type_map": TYPES.astype(float)})


def make_lizard(folder):
    Image.fromarray(RGB).save(folder / "a.png")
    savemat(folder / "a.mat", {"inst_map": INSTANCES, "id": [[2], [1]], "class": [[2], [4]]})


def make_pannuke(folder):
    for kind in ("images", "masks"):
        (folder / kind / "fold1").mkdir(parents=True)
    masks = np.zeros((1, 8, 10, 6))
    masks[0, ..., 3], masks[0, ..., 1] = INSTANCES == 1, 5 * (INSTANCES == 2)
    np.save(folder / "images" / "fold1" / "images.npy", RGB[None].astype(float))
    np.save(folder / "masks" / "fold1" / "masks.npy", masks)


def make_qupath(folder):
    Image.fromarray(RGB).save(folder / "a.png")
    features = []
    for name, (x, y, right, bottom) in {"b": (1, 1, 4, 3), "a": (5, 4, 9, 7)}.items():
        ring = [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"geometry": geometry, "properties": {"classification": {"name": name}}})
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def make_hovernet(folder):
    np.save(folder / "a.npy", np.dstack([RGB, INSTANCES, TYPES]))


TYPES_OF = {"consep": (4, 2), "lizard": (4, 2), "pannuke": (4, 2), "qupath": (2, 1), "hovernet": (4, 2)}


@pytest.mark.parametrize("layout", list(IMPORTERS))
def test_every_layout_gives_the_same_maps(layout, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    globals()[f"make_{layout}"](source)
    (item,) = convert(layout, source, tmp_path / "out")
    assert load_datalist(tmp_path / "out" / "datalist.json", "training") == [item]
    if layout == "glas":
        assert (tifffile.imread(item["tissue"]) == (INSTANCES > 0)).all()
        assert "instances" not in item
        assert item["mpp"] == 0.62
        return
    made = tifffile.imread(item["instances"])
    assert ((made > 0) == (INSTANCES > 0)).all()
    assert len(np.unique(made)) == 3
    if layout in TYPES_OF:
        types = tifffile.imread(item["types"])
        assert (np.unique(types[INSTANCES == 1]), np.unique(types[INSTANCES == 2])) == TYPES_OF[layout]
    else:
        assert "types" not in item


def test_command(tmp_path, capsys):
    source = tmp_path / "source"
    source.mkdir()
    make_monuseg(source)
    assert main(["datalist", str(source), "--layout", "monuseg", "--output", str(tmp_path / "out")]) == 0
    assert "1 images written" in capsys.readouterr().out
    assert main(["datalist", str(source), "--layout", "monuseg"]) == 1
    assert "name a folder" in capsys.readouterr().err


@pytest.mark.parametrize("layout", list(IMPORTERS))
def test_an_empty_folder(layout, tmp_path):
    with pytest.raises(DatalistError, match=r"No .* below"):
        convert(layout, tmp_path, tmp_path / "out")
    with pytest.raises(DatalistError, match="not a folder"):
        convert(layout, tmp_path / "none", tmp_path / "out")


def test_bad_files(tmp_path):
    with pytest.raises(DatalistError, match="Unknown layout"):
        convert("x", tmp_path, tmp_path)
    (tmp_path / "b.mat").write_text("no mat")
    with pytest.raises(ImageFileError, match=r"b\.mat: not readable"):
        convert("consep", tmp_path, tmp_path / "out")
    savemat(tmp_path / "b.mat", {"inst_map": INSTANCES})
    with pytest.raises(ImageFileError, match="type_map is missing"):
        convert("consep", tmp_path, tmp_path / "out")
    (tmp_path / "c.xml").write_text("<a>")
    with pytest.raises(ImageFileError, match="no image with the stem c"):
        convert("monuseg", tmp_path, tmp_path / "out")
    Image.fromarray(RGB).save(tmp_path / "c.png")
    with pytest.raises(ImageFileError, match="not valid XML"):
        convert("monuseg", tmp_path, tmp_path / "out")
    np.save(tmp_path / "d.npy", INSTANCES)
    with pytest.raises(ImageFileError, match="expected"):
        convert("hovernet", tmp_path, tmp_path / "out")
    Image.fromarray(RGB).save(tmp_path / "e_anno.bmp")
    with pytest.raises(ImageFileError, match=r"its image .* is missing"):
        convert("glas", tmp_path, tmp_path / "out")
