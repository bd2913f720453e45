import math
from pathlib import Path

import pytest
import yaml

from coseg_bundle.writers.summary import ENOUGH_NUCLEI, NUCLEUS_WIDTH_UM, doubts


def circle(width_um: float) -> float:
    return math.pi * width_um**2 / 4


def test_nuclei_of_a_20x_image_that_was_taken_for_one_at_40x_are_half_as_wide():
    assert doubts(100, circle(5.0)) == []
    [sentence] = doubts(100, circle(2.5))
    assert sentence == "the nuclei are 2.5 um wide, those of tissue 3.5 to 8.5: is the resolution right?"
    assert doubts(100, circle(10.0))[0].startswith("the nuclei are 10.0 um wide")


@pytest.mark.parametrize("width", NUCLEUS_WIDTH_UM)
def test_the_ends_are_no_doubts(width):
    inside = 1e-6 if width == NUCLEUS_WIDTH_UM[0] else -1e-6
    assert doubts(100, circle(width + inside)) == []
    assert len(doubts(100, circle(width - inside))) == 1


def test_few_nuclei_say_nothing():
    assert doubts(ENOUGH_NUCLEI - 1, circle(1.0)) == []
    assert len(doubts(ENOUGH_NUCLEI, circle(1.0))) == 1
    assert doubts(0, None) == []


@pytest.mark.parametrize("name", ["inference", "evaluate"])
def test_nuclei_are_narrow_where_they_raise_doubts(name):
    config = yaml.safe_load((Path(__file__).parents[2] / "configs" / f"{name}.yaml").read_text())
    assert config["narrow_um"] == NUCLEUS_WIDTH_UM[0]
