import math
from itertools import combinations

import pytest

from coseg_bundle import classes as module
from coseg_bundle.classes import NUCLEI_PRESETS, TISSUE_PRESETS, ClassMap, places_of


def test_ids_are_positions():
    classes = ClassMap(["background", "gland", "unheard of"])
    assert [classes.id_of(name) for name in classes.names] == [0, 1, 2]
    assert classes.name_of(2) == "unheard of"
    assert len(classes) == 3
    assert classes.colour_of(1) == (0, 160, 135)
    assert all(0 <= c <= 255 for c in classes.colour_of(2))


@pytest.mark.parametrize(
    ("names", "among", "places"),
    [
        (["gland", "stroma"], ["stroma", "gland"], [1, 0]),
        (["Gland", "fat", "STROMA"], ["stroma", "gland"], [1, None, 0]),
        (["gland"], ["Gland", "gland"], [1]),  # to the letter first
        (["GLAND"], ["Gland", "gland"], [None]),  # either
        (["gland", "Gland"], ["gland"], [0, None]),  # it is one of the two
        (["GLAND", "Gland"], ["gland"], [None, None]),
        ([], ["gland"], []),
    ],
)
def test_places_of_names(names, among, places):
    assert places_of(names, among) == places


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


def slow_colours(names, own, palette, grid, alike):
    """The rule as it is told: each time all distances anew."""
    first = {own[name]: name for name in reversed(names) if name in own}
    taken, chosen = list(first), []
    for number, name in enumerate(names):
        colour = own.get(name)
        if colour is None or first[colour] != name:
            start = number % len(palette)
            free = [c for c in (*palette[start:], *palette[:start]) if all(math.dist(c, t) >= alike for t in taken)]
            colour = free[0] if free else max(grid, key=lambda c: min(math.dist(c, t) for t in taken))
            taken.append(colour)
        chosen.append(colour)
    return chosen


@pytest.mark.parametrize("number", [1, 5, 10, 11, 40])
@pytest.mark.parametrize("known", [0, 7])
def test_colours_are_those_of_the_slow_rule(number, known):
    names = (*list(module._COLOURS)[:known], *(f"class {i}" for i in range(number)))
    expected = slow_colours(names, module._COLOURS, module._PALETTE, module._GRID, module._ALIKE)
    assert [ClassMap(names).colour_of(i) for i in range(len(names))] == expected


def test_a_map_of_256_classes_measures_each_distance_once(monkeypatch):
    """It took seconds when each class measured those of all before it again."""
    measured = []
    monkeypatch.setattr(module.math, "dist", lambda a, b, dist=math.dist: measured.append((a, b)) or dist(a, b))
    ClassMap([f"counted {i}" for i in range(256)]).colour_of(1)
    assert len(measured) == len(set(measured))


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
