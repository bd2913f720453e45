import math
from pathlib import Path

import pytest
import yaml

from coseg_bundle.writers.summary import (
    ENOUGH_NUCLEI,
    NUCLEUS_WIDTH_UM,
    doubts,
    doubts_in,
    gaps_in,
    listed_doubts,
)


def circle(width_um: float) -> float:
    return math.pi * width_um**2 / 4


def test_nuclei_of_a_20x_image_that_was_taken_for_one_at_40x_are_half_as_wide():
    assert doubts(100, circle(5.0)) == []
    [sentence] = doubts(100, circle(2.5))
    assert sentence == "the nuclei are 2.5 um wide, those of tissue 3.5 to 8.5: is the resolution right?"
    assert doubts(100, circle(10.0))[0].startswith("the nuclei are 10.0 um wide")


@pytest.mark.parametrize("width", NUCLEUS_WIDTH_UM)
def test_the_ends_are_no_doubts(width):
    """As they are written: nobody reads that 3.5 um are none of 3.5 to 8.5."""
    outwards = -0.01 if width == NUCLEUS_WIDTH_UM[0] else 0.01
    assert doubts(100, circle(width + 4 * outwards)) == []
    assert len(doubts(100, circle(width + 6 * outwards))) == 1


def test_what_is_given_and_what_the_file_says():
    assert doubts(0, None, given=0.25, stated=0.2501) == doubts(0, None, given=0.25) == doubts(0, None, None, 0.5) == []
    assert doubts(0, None, 2, 0.25) == ["the file says 0.25 um per pixel, and 2 was given: is that right?"]
    assert len(doubts(100, circle(2.5), 2, 0.25)) == 2


@pytest.mark.parametrize(("said", "expected"), [(["a"], ["a"]), (None, []), ("abc", []), ([1, 2], ["1", "2"])])
def test_doubts_of_any_summary(said, expected):
    assert doubts_in({"doubts": said}) == expected
    assert doubts_in({}) == []


def test_what_is_missing_stands_before_what_speaks_against_the_resolution():
    seen = {"glass": 0.096, "tissue": 0.003, "pen or dirt": 0.582, "not scanned": 0.319}
    summary = {"tiles_with_tissue": 9, "unreadable_tiles": [{}] * 4, "thumbnail": seen, "doubts": ["a"]}
    unread = "4 of 9 tiles could not be read (summary.json lists them, coseg slide --overwrite tries them again)"
    shares = "glass 9.6 %, tissue 0.3 %, pen or dirt 58.2 %, not scanned 31.9 % (foreground.png shows where)"
    dark = f"more was taken for pen or dirt than for tissue: {shares}"
    assert doubts_in(summary) == [unread, dark, "a"]
    assert gaps_in(summary) == [unread, dark]
    assert listed_doubts(summary) == ["a"]


def test_a_whole_slide_with_some_pen_has_no_gaps():
    seen = {"glass": 0.5, "tissue": 0.4, "pen or dirt": 0.1}
    assert gaps_in({"tiles_with_tissue": 9, "unreadable_tiles": [], "thumbnail": seen}) == []
    assert gaps_in({"tiles_with_tissue": 0, "unreadable_tiles": []}) == ["no tissue was found"]


def test_an_image_that_was_left_out_is_a_gap():
    left_out = "left out: number 1 (section 1) of the images in the file, which may be tissue"
    assert gaps_in({"tiles_with_tissue": 9, "read_as": ["the first of 2 images in the file", left_out]}) == [left_out]


def test_few_nuclei_say_nothing():
    assert doubts(ENOUGH_NUCLEI - 1, circle(1.0)) == []
    assert len(doubts(ENOUGH_NUCLEI, circle(1.0))) == 1
    assert doubts(0, None) == []


@pytest.mark.parametrize("name", ["inference", "evaluate"])
def test_nuclei_are_narrow_where_they_raise_doubts(name):
    config = yaml.safe_load((Path(__file__).parents[2] / "configs" / f"{name}.yaml").read_text())
    assert config["narrow_um"] == NUCLEUS_WIDTH_UM[0]
