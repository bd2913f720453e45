from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coseg_bundle.data.datalist import DatalistError
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels.partners import Source, distinct_names, free_name, image_of, pair

TOP = Path("/set")


def paths(*names):
    return [TOP / name for name in names]


@pytest.mark.parametrize(
    ("labels", "images"),
    [
        (("a.xml", "b.xml"), ("a.png", "b.png")),
        (("x/a.xml", "y/a.xml"), ("x/a.png", "y/a.png")),
        (("Labels/x/a.mat", "Labels/y/a.mat"), ("Images/x/a.png", "Images/y/a.png")),
        (("x/labels/a.mat", "y/labels/a.mat"), ("x/images/a.png", "y/images/a.png")),
        (("a.xml", "x/a.xml"), ("a.png", "x/a.png")),
        (("labels/a.mat",), ("images/deep/a.png",)),
    ],
)
def test_everyone_gets_its_own_by_hand(labels, images):
    found = pair(paths(*labels), paths(*images), TOP)
    assert list(found.values()) == paths(*images)


@pytest.mark.parametrize(
    ("labels", "images", "words"),
    [
        (("a.xml",), ("b.png",), "no image with the stem a"),
        (("y/a.xml", "x/a.xml"), ("x/a.png",), "of its own; /set/x/a.png is that of /set/x/a.xml"),
        (("l/a.xml",), ("x/a.png", "y/a.png"), "nothing tells which is its image"),
        (("a.xml",), ("a.png", "a.tif"), "/set/a.png and /set/a.tif have its stem"),
        (("x/a.xml", "y/a.xml"), ("i/a.png",), "/set/y/a.xml has the stem of the same image"),
    ],
)
def test_nobody_gets_another_ones(labels, images, words):
    found = pair(paths(*labels), paths(*images), TOP)
    with pytest.raises(ImageFileError, match=words):
        image_of(paths(*labels)[0], found)


NAMES = st.lists(st.sampled_from(["", "x/", "y/", "x/y/", "l/x/", "i/x/"]), unique=True, max_size=4)


@given(NAMES, NAMES)
def test_no_image_is_given_away_twice(labels, images):
    found = pair(paths(*(f"{p}a.xml" for p in labels)), paths(*(f"{p}a.png" for p in images)), TOP)
    given_away = [image for image in found.values() if isinstance(image, Path)]
    assert len(set(given_away)) == len(given_away)
    for prefix in set(labels) & set(images):
        assert found[TOP / f"{prefix}a.xml"] == TOP / f"{prefix}a.png"


def test_names_that_no_two_share():
    names = distinct_names(paths("a.xml", "x/b.xml", "y/B.xml", "x_y/b.xml", "x/y/b.xml"), TOP)
    assert list(names.values()) == ["a", "x_b", "y_B", "x_y_b", "x_y_b-2"]
    taken = {"a"}
    assert [free_name("A", taken), free_name("a", taken), free_name("b", taken)] == ["A-2", "a-3", "b"]


def test_a_source_without_files(tmp_path):
    (tmp_path / "._a.xml").touch()
    with pytest.raises(DatalistError, match=r"No XML files below .* left out: 1 hidden"):
        Source(tmp_path).need((".xml",), "XML files")
