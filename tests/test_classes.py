import math
from itertools import combinations

import pytest

from coseg_bundle.classes import NUCLEI_PRESETS, TISSUE_PRESETS, ClassMap


def test_ids_are_positions():
    classes = ClassMap(["background", "gland", "unheard of"])
    assert [classes.id_of(name) for name in classes.names] == [0, 1, 2]
    assert classes.name_of(2) == "unheard of"
    assert len(classes) == 3
    assert classes.colour_of(1) == (0, 160, 135)
    assert all(0 <= c <= 255 for c in classes.colour_of(2))


@pytest.mark.parametrize("names", [[], ["a", "a"], ["a", " "]])
def test_names_must_be_unique(names):
    with pytest.raises(ValueError, match="unique"):
        ClassMap(names)


def test_unknown_classes_are_named():
    classes = TISSUE_PRESETS["gland"]
    with pytest.raises(ValueError, match=r"Unknown class 'tumor'.*background, gland"):
        classes.id_of("tumor")
    with pytest.raises(ValueError, match="expected 0 to 1"):
        classes.name_of(-1)


def test_nuclei_presets_start_with_background():
    assert all(preset.names[0] == "background" for preset in NUCLEI_PRESETS.values())


def test_neither_the_first_class_nor_the_ground_is_tinted():
    classes = ClassMap(("empty", "gland", "other_tissue"))
    assert [classes.is_tinted(i) for i in range(3)] == [False, True, False]


def test_a_class_does_not_take_the_colour_of_another():
    """The third of the palette is gland's own; stroma takes the one behind it."""
    classes = ClassMap(["background", "tumor", "stroma", "gland"])
    assert classes.colour_of(3) == (0, 160, 135)
    assert [classes.colour_of(i) for i in (1, 2)] == [(77, 187, 213), (243, 155, 127)]


@pytest.mark.parametrize(
    "names",
    [
        *(["background", *(f"class {i}" for i in range(number))] for number in (11, 30, 100)),
        ["background", "empty", "nucleus", "epithelial", "gland", "nuclei_other"],  # own colours, two and two alike
        ["tissue_tumor", *"abcdefghij"],  # the palette has a red of its own that is hardly another
    ],
)
def test_no_two_classes_of_a_map_look_alike(names):
    classes = ClassMap(names)
    colours = [classes.colour_of(i) for i in range(len(classes))]
    assert min(math.dist(a, b) for a, b in combinations(colours, 2)) >= 36


def test_known_classes_keep_their_colours():
    assert [ClassMap(("empty", "gland", "other_tissue")).colour_of(i) for i in range(3)] == [
        (255, 255, 255),
        (0, 160, 135),
        (230, 159, 0),
    ]
    nuclei = ClassMap(("background", "epithelial", "inflammatory", "spindle", "other"))
    assert [nuclei.colour_of(i) for i in (1, 2, 3, 4)] == [(255, 221, 0), (0, 90, 255), (0, 235, 235), (60, 40, 30)]
    for preset in (*TISSUE_PRESETS.values(), *NUCLEI_PRESETS.values()):
        assert len({preset.colour_of(i) for i in range(len(preset))}) == len(preset)
