from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
import shapely

from coseg_bundle.view.correcting.drawings import after, left, one_outline, told, within
from coseg_bundle.view.correcting.patches import Drawing


def drawn(name, *bounds, task="nuclei"):
    return Drawing(task, name, shapely.box(*bounds))


def held(*drawings):
    """Class and bounds of what holds of some drawings."""
    return [(one.name, one.polygon.bounds) for one in reduce(after, drawings, [])]


def wobbly(radius, wobble):
    """A circle as a hand draws it, closed elsewhere than it began."""
    turn = np.linspace(0, 2 * np.pi, 40)
    length = radius + wobble * np.sin(5 * turn)
    return shapely.Polygon(np.stack([length * np.cos(turn), length * np.sin(turn)], axis=1))


def test_a_nucleus_that_is_drawn_anew_is_one():
    assert held(drawn("a", 0, 0, 40, 40), drawn("b", 5, 5, 35, 35)) == [("b", (5, 5, 35, 35))]  # most of the later one
    assert held(drawn("a", 5, 5, 35, 35), drawn("b", 0, 0, 40, 40)) == [
        ("b", (0, 0, 40, 40))
    ]  # most of the earlier one
    assert held(drawn("a", 0, 0, 40, 40), drawn("a", 2, -2, 42, 38)) == [("a", (2, -2, 42, 38))]
    strip = drawn("b", -10, 18, 50, 24)
    assert held(drawn("a", 0, 0, 40, 40), strip) == [("b", strip.polygon.bounds)]  # over its centroid


def test_a_wobbly_circle_drawn_anew_is_one():
    [only] = reduce(after, [Drawing("nuclei", "a", wobbly(14, 0.8)), Drawing("nuclei", "a", wobbly(13, -0.8))], [])
    assert only.polygon.equals(wobbly(13, -0.8))


def test_a_neighbour_is_cut_and_keeps_its_largest_part():
    assert held(drawn("a", 0, 0, 40, 40), drawn("b", 30, 0, 60, 40)) == [("a", (0, 0, 30, 40)), ("b", (30, 0, 60, 40))]
    bar = drawn("a", 0, 0, 60, 10)
    across = drawn("b", 40, -30, 44, 11)  # its centroid lies above the bar
    assert held(bar, across) == [("a", (0, 0, 40, 10)), ("b", (40, -30, 44, 11))]


def test_nuclei_that_touch_stay_whole():
    assert held(drawn("a", 0, 0, 40, 40), drawn("b", 40, 0, 80, 40)) == [("a", (0, 0, 40, 40)), ("b", (40, 0, 80, 40))]


def test_a_stroke_erases_what_was_drawn_by_its_centroid():
    nucleus = drawn("a", 0, 0, 40, 40)
    assert held(nucleus, drawn("", 30, 30, 50, 50)) == [("a", (0, 0, 40, 40)), ("", (30, 30, 50, 50))]
    assert held(nucleus, drawn("", 18, 18, 22, 22)) == [("", (0, 0, 40, 40))]  # nothing is where it was


def test_tissue_keeps_what_no_later_drawing_covers():
    gland = drawn("gland", 0, 0, 100, 100, task="tissue")
    assert held(gland, drawn("", 50, 0, 100, 100, task="tissue")) == [
        ("gland", (0, 0, 50, 100)),
        ("", (50, 0, 100, 100)),
    ]
    assert held(gland, drawn("", 0, 0, 100, 100, task="tissue")) == [("", (0, 0, 100, 100))]
    assert held(gland, drawn("a", 0, 0, 9, 9)) == [("gland", (0, 0, 100, 100)), ("a", (0, 0, 9, 9))]


def test_parts_in_corrections_that_were_saved_before_are_nuclei_each():
    two = Drawing("nuclei", "a", shapely.MultiPolygon([shapely.box(0, 0, 9, 9), shapely.box(20, 0, 29, 9)]))
    assert held(two) == [("a", (0, 0, 9, 9)), ("a", (20, 0, 29, 9))]


def test_the_network_is_told_no_place_twice():
    standing = reduce(after, [drawn("", 0, 0, 40, 40), drawn("a", 0, 0, 20, 40), drawn("b", 90, 90, 99, 99)], [])
    assert [(one.name, one.polygon.bounds) for one in told(standing, shapely.box(0, 0, 50, 50))] == [
        ("", (20, 0, 40, 40)),
        ("a", (0, 0, 20, 40)),
    ]


def test_what_the_network_finds_gives_way():
    rings = [np.array(shapely.box(*bounds).exterior.coords)[:-1] for bounds in ((0, 0, 10, 10), (8, 0, 18, 10))]
    standing = [drawn("a", 6, 0, 14, 10)]
    first, second = left(rings, np.array([(5, 5), (13, 5)]), standing)
    assert shapely.Polygon(first).bounds == (0, 0, 6, 10)
    assert second is None
    assert left(rings[:1], np.array([(5, 5)]), [drawn("a", 20, 20, 30, 30)])[0] is rings[0]
    assert left(rings, np.array([(5, 5), (13, 5)]), [drawn("", 4, 4, 6, 6)]) == [None, rings[1]]
    assert left([], np.zeros((0, 2)), standing) == []


def test_an_outline_encloses_its_holes_and_loses_its_tail():
    ring = shapely.difference(shapely.box(0, 0, 40, 40), shapely.box(10, 10, 30, 30))
    assert one_outline(ring).equals(shapely.box(0, 0, 40, 40))
    tail = shapely.union_all([shapely.box(0, 0, 40, 40), shapely.box(40, 40, 44, 44)])  # they meet in a point
    assert one_outline(tail).equals(shapely.box(0, 0, 40, 40))


def test_an_outline_that_goes_around_twice_is_one():
    twice = np.concatenate([shapely.get_coordinates(wobbly(14, 0.8)), shapely.get_coordinates(wobbly(14, -0.8))])
    found = one_outline(shapely.make_valid(shapely.Polygon(twice)))
    assert found.area == pytest.approx(shapely.union(wobbly(14, 0.8), wobbly(14, -0.8)).area)


def test_an_outline_of_two_is_refused():
    bow = shapely.make_valid(shapely.Polygon([(0, 0), (40, 40), (40, 0), (0, 40)]))
    with pytest.raises(ValueError, match="Expected the outline of one nucleus, got one that falls into 2 parts"):
        one_outline(bow)


@pytest.mark.parametrize(
    "flat", [shapely.Polygon(), shapely.Polygon([(0, 0), (10, 0), (0, 0)]), shapely.LineString([(0, 0), (10, 0)])]
)
def test_an_outline_without_an_area_is_refused(flat):
    with pytest.raises(ValueError, match="Expected the outline of one nucleus, got one without an area; draw it anew"):
        one_outline(flat)


def test_a_drawing_ends_where_its_frame_does():
    assert within(drawn("", 0, 0, 40, 40), shapely.box(10, 10, 99, 20)).polygon.bounds == (10, 10, 40, 20)
    assert within(drawn("", 0, 0, 40, 40), shapely.box(50, 50, 99, 99)).polygon.is_empty


def anything(rng, count):
    """Nuclei, strokes and tissue of 20 to 60 px on 300 x 300."""
    kinds = [("nuclei", "a"), ("nuclei", "b"), ("nuclei", ""), ("tissue", "gland"), ("tissue", "")]
    for kind in range(count):
        (x, y), (width, height) = rng.uniform(0, 300, 2), rng.uniform(20, 60, 2)
        crescent = shapely.difference(
            shapely.box(x, y, x + width, y + height), shapely.box(x + 5, y + 5, x + 99, y + 99)
        )
        task, name = kinds[kind % 5]
        yield Drawing(task, name, crescent if kind % 3 else shapely.box(x, y, x + width, y + height))


def normal(drawings):
    """Drawings whose polygons begin where all do, to a millionth of a pixel."""
    polygons = shapely.normalize(shapely.set_precision([one.polygon for one in drawings], 1e-6))
    return [(one.task, one.name, polygon.wkt) for one, polygon in zip(drawings, polygons, strict=True)]


@pytest.mark.parametrize("seed", range(5))
def test_those_apart_are_left_out_and_it_makes_no_difference(monkeypatch, seed):
    """As when each drawing is compared with all earlier ones."""
    drawings, field = list(anything(np.random.default_rng(seed), 60)), shapely.box(100, 100, 200, 200)
    standing = reduce(after, drawings, [])
    said = told(standing, field)
    monkeypatch.setattr("coseg_bundle.view.correcting.drawings.meeting", lambda drawings, place: list(drawings))
    slowly = reduce(after, drawings, [])
    assert normal(standing) == normal(slowly)
    assert normal(said) == normal(told(slowly, field))


def test_drawings_apart_are_not_compared(monkeypatch):
    """A thousand of them took 14 s for each further one."""
    apart = [drawn("a", 20 * i, 0, 20 * i + 9, 9) for i in range(50)]

    def refused(*of, **options):
        raise AssertionError("compared")

    for name in ("intersection", "difference", "contains"):
        monkeypatch.setattr(shapely, name, refused)
    assert reduce(after, apart, []) == apart
    assert told(apart, shapely.box(0, 0, 25, 9)) == apart[:2]
