from __future__ import annotations

import json

import pytest
import shapely

from coseg_bundle.data.labels.foreign import read_nuclei
from coseg_bundle.view.correcting.corrections import Corrections
from coseg_bundle.view.correcting.labels import box_of, free, place_of
from coseg_bundle.view.correcting.patches import Drawing


@pytest.fixture
def patches(result, known_service):
    """Corrected frames of 100 x 100 at x = 0, 50, 300 and 300."""
    corrections = Corrections(result, lambda: known_service)
    for x in (0, 50, 300, 300):
        corrections.correct((x, 0, 100, 100), Drawing("tissue", "gland", shapely.box(x, 0, x + 9, 9)))
    return corrections.patches


def test_what_no_later_frame_covers(patches):
    assert [free(patches, number).bounds for number in (0, 1, 3)] == [
        (0, 0, 50, 100),
        (50, 0, 150, 100),
        (300, 0, 400, 100),
    ]
    assert free(patches, 2).is_empty


def test_frames_apart_are_not_joined(patches, monkeypatch):
    """Saving joined all later frames for each one."""
    joined = []
    monkeypatch.setattr(shapely, "union_all", lambda of, union=shapely.union_all: joined.extend(of) or union(of))
    for number in range(4):
        free(patches, number)
    assert joined == [box_of((50, 0, 100, 100)), box_of((300, 0, 100, 100))]


def test_a_saved_label_is_one_of_ours(result, known_service):
    """Tissue in a frame whose nuclei were all erased was read as one nucleus."""
    corrections = Corrections(result, lambda: known_service)
    corrections.correct((90, 90, 40, 40), Drawing("nuclei", "", shapely.box(90, 90, 130, 130)))
    corrections.correct((90, 90, 40, 40), Drawing("tissue", "gland", shapely.box(92, 92, 99, 99)))
    label, *_ = corrections.save()
    content = json.loads(label.read_text())
    assert content["coseg"] == place_of(result) == {"origin": "bounds", "origin_x_px": 0, "origin_y_px": 0}
    kinds = [feature["properties"]["objectType"] for feature in content["features"]]
    assert set(kinds) == {"annotation"}
    assert len(kinds) > 1
    assert not read_nuclei(label, (400, 400)).instances.any()
