"""Whatever is drawn and erased, in whatever frames: what the table, the label and the page hold agrees."""

from __future__ import annotations

import json
from functools import reduce
from types import SimpleNamespace

import numpy as np
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from view_results import HEIGHT, MPP, TISSUES, TYPES, WIDTH, places, ring

from coseg_bundle.service.shapes import Answer, Shape
from coseg_bundle.view.correcting.corrections import Corrections
from coseg_bundle.view.correcting.drawings import after
from coseg_bundle.view.correcting.labels import label_features
from coseg_bundle.view.correcting.patches import Drawing, Patch, corrected, outlines_in
from coseg_bundle.view.sheets import nuclei_csv

WHOLE = (0, 0, WIDTH, HEIGHT)
FRAMES = [WHOLE, (0, 0, 300, 300), (150, 100, 300, 300), (97, 40, 200, 200), (300, 0, 300, 400)]


class Listening:
    """Finds the nuclei of the table, and others between them once something is drawn."""

    def predictor(self) -> SimpleNamespace:
        return SimpleNamespace(result_classes=(TISSUES, TYPES), mpp=MPP, weights_sha256=None)

    def segment(self, image, query):
        found = [(x, y, 6) for x, y in places()]
        found += [(x + 50, y + 50, 20) for x, y in places()] if query.correction else []
        (left, top), (width, height) = query.location, query.size
        here = [one for one in found if left <= one[0] < left + width and top <= one[1] < top + height]
        shapes = [Shape("nuclei", "tumour", (200, 0, 0), (ring(*one),), 0.8) for one in here]
        return Answer(tuple(shapes), (left, top, width, height), MPP, "known.pt")


@st.composite
def drawings(draw):
    """A frame, and an ellipse that begins in it."""
    frame = draw(st.sampled_from(FRAMES))
    x = draw(st.integers(frame[0], frame[0] + frame[2] - 1))
    y = draw(st.integers(frame[1], frame[1] + frame[3] - 1))
    across, down = draw(st.integers(4, 40)), draw(st.integers(4, 40))
    ellipse = shapely.affinity.scale(shapely.Point(x, y).buffer(1, quad_segs=4), across, down)
    cut = shapely.intersection(ellipse, shapely.box(*WHOLE[:2], *WHOLE[2:]))
    return frame, Drawing("nuclei", draw(st.sampled_from(["tumour", "other", ""])), cut)


steps = st.lists(st.one_of(drawings(), drawings(), drawings(), st.sampled_from(["undo", "redo", "reload"])), max_size=9)


def state(corrections):
    """What the page is sent and the table that is downloaded, as bytes."""
    patches = [patch.to_json() for patch in corrections.patches]
    table = "".join(nuclei_csv(corrections.result, corrections.patches))
    return json.dumps([patches, table]).encode()


def assert_sound(corrections):
    result, patches = corrections.result, corrections.patches
    outlines = np.array([shapely.Polygon(one) for one in outlines_in(result, patches, WHOLE)])
    i, j = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    shared = shapely.area(shapely.intersection(outlines[i], outlines[j]))[i != j]
    assert shared.max(initial=0) < 1  # outlines are rounded
    _, kept = corrected(result, patches)
    by_hand = [patch.values["nuclei_prob"][rows] for patch, rows in zip(patches, kept, strict=True)]
    typed = [patch.population.types[rows] for patch, rows in zip(patches, kept, strict=True)]
    assert np.isin(np.concatenate([[1], *typed]), [1, 2]).all()
    hold = [one for one in reduce(after, (patch.drawing for patch in patches), []) if one.is_nucleus]
    drawn = sum(
        1 for outline in outlines for one in hold if shapely.symmetric_difference(outline, one.polygon).area < 1
    )
    assert drawn == len(hold)
    assert sum(np.isnan(column).sum() for column in by_hand) >= len(hold)
    features = [json.loads(line) for line in label_features(result, patches)]
    nuclei = [one for one in features if one["properties"]["objectType"] == "detection"]
    assert all(one["properties"]["classification"]["name"] in TYPES.names[1:] for one in nuclei)
    assert len(nuclei) == sum(rows.sum() for rows in kept)
    assert len("".join(nuclei_csv(result, patches)).strip().splitlines()) - 1 == len(outlines)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_nuclei_are_counted_once_and_undone_to_the_byte(result, steps):
    corrections = Corrections(result, Listening)
    before, ahead = [state(corrections)], []
    for step in steps:
        if step == "reload":
            saved = json.loads(json.dumps([patch.to_json() for patch in corrections.patches]))
            corrections.patches = [Patch.of_json(patch) for patch in saved]
            assert state(corrections) == before[-1]
        elif step == "undo":
            corrections.undo()
            ahead += [before.pop()] if len(before) > 1 else []
        elif step == "redo":
            corrections.redo()
            before += [ahead.pop()] if ahead else []
        else:
            frame, drawing = step
            patch = corrections.correct(frame, drawing)
            outlines = [shapely.Polygon(one) for one in outlines_in(result, corrections.patches, WHOLE)]
            same = [one for one in outlines if shapely.symmetric_difference(one, drawing.polygon).area < 1]
            assert len(same) == drawing.is_nucleus
            assert patch is corrections.patches[-1]
            before, ahead = [*before, state(corrections)], []
        assert state(corrections) == before[-1]
        assert_sound(corrections)
