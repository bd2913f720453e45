import json

import pytest

from coseg_bundle.writers.converted import CONVERTED, DICOM_MODEL, check_converted, content_of_parts
from coseg_bundle.writers.folders import ResultsFolderError


def written(folder, names, attributes):
    """A folder as SpatialData writes it: groups by kind, elements with a file each."""
    root = folder / "spatialdata.zarr"
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "data").write_text(name)
        (root / name).parent.joinpath("zarr.json").write_text("{}")
    (root / "zarr.json").write_text(json.dumps({"attributes": attributes}))
    return root


OURS = ("labels/tissue_labels", "shapes/nuclei", "shapes/tissue", "tables/nuclei_table")


def ours(folder, **more):
    root = written(folder, OURS, {})
    about = {"mpp": 0.25, "content": content_of_parts(root)}
    root.joinpath("zarr.json").write_text(json.dumps({"attributes": {"coseg": about, **more}}))
    return root


def test_what_is_not_there_and_what_is_as_it_was_written(tmp_path):
    check_converted(tmp_path, *CONVERTED)
    root = ours(tmp_path, boundaries_shapes="nuclei", spatialdata_attrs={"version": "0.2"})
    assert sorted(content_of_parts(root)) == ["labels", "shapes", "tables"]
    (root / ".DS_Store").write_text("left by a system")
    check_converted(tmp_path, *CONVERTED)


def refuses(folder, name):
    with pytest.raises(ResultsFolderError, match=f"{name} is not as coseg convert wrote it: .*move it elsewhere"):
        check_converted(folder, *CONVERTED)


@pytest.mark.parametrize("name", ["shapes/my_annotations/data", "tables/nuclei_table/data", "notes.txt"])
def test_what_a_person_added_or_changed(tmp_path, name):
    """A shape of theirs, a table with a column of theirs, a file: all was deleted by the next conversion."""
    file = ours(tmp_path) / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    refuses(tmp_path, "spatialdata.zarr")


def test_attributes_of_a_person(tmp_path):
    ours(tmp_path, study="mine")
    refuses(tmp_path, "spatialdata.zarr")


@pytest.mark.parametrize("name", ["zarr.json", ".zattrs"])
def test_former_versions_do_not_say_the_content(tmp_path, name):
    root = written(tmp_path, OURS[1:], {})
    (root / "zarr.json").unlink()
    content = {"coseg": {"mpp": 0.25}}
    (root / name).write_text(json.dumps({"attributes": content} if name == "zarr.json" else content))
    check_converted(tmp_path, *CONVERTED)
    (root / "shapes" / "my_annotations").mkdir()
    refuses(tmp_path, "spatialdata.zarr")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"attributes": 1}', '{"attributes": {"coseg": 1}}', "{}"])
def test_folders_of_others(tmp_path, content):
    root = tmp_path / "spatialdata.zarr"
    root.mkdir()
    (root / "a.txt").write_text("mine")
    if content is not None:
        (root / "zarr.json").write_text(content)
    refuses(tmp_path, "spatialdata.zarr")


@pytest.mark.parametrize("name", ["nuclei.dcm", "tissue.dcm"])
def test_dicom_is_ours_by_its_model_name(tmp_path, name):
    preamble = bytes(128) + b"DICM"
    model = b"\x08\x00\x90\x10LO" + bytes([len(DICOM_MODEL), 0]) + DICOM_MODEL.encode()
    (tmp_path / name).write_bytes(preamble + model)
    check_converted(tmp_path, *CONVERTED)
    for other in (preamble + model.replace(b"coseg", b"other"), model, b""):
        (tmp_path / name).write_bytes(other)
        refuses(tmp_path, name)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    refuses(tmp_path, name)
