from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from coseg_bundle.service.shapes import inside
from coseg_bundle.view.correcting.corrections import Corrections
from coseg_bundle.view.correcting.patches import Drawing, corrected


@pytest.fixture
def patch(result, known_service):
    drawing = Drawing("nuclei", "tumour", shapely.box(10, 10, 20, 20))
    return Corrections(result, lambda: known_service).correct((0, 0, 200, 200), drawing)


def test_no_patches(result):
    standing, of_patches = corrected(result, [])
    assert (standing.all(), of_patches) == (True, [])


@pytest.mark.parametrize("seed", range(5))
def test_a_nucleus_stands_where_no_later_patch_holds(result, patch, seed):
    """Against the rule as it is told, box by box; some patches have no nuclei, some the box of another one."""
    rng = np.random.default_rng(seed)
    patches = []
    for x, y, count in rng.integers(0, [400, 300, 6], (20, 3)).tolist():
        points = rng.uniform([x, y], [x + 150, y + 150], (count, 2))
        codes = np.ones(count, np.uint8)
        population = replace(patch.population, points_xy=points, types=codes, tissues=codes)
        patches.append(replace(patch, box=(x, y, 150, 150) if x % 2 else (100, 100, 150, 150), population=population))
    standing, of_patches = corrected(result, patches)
    for number, kept in enumerate(of_patches):
        later = [one.box for one in patches[number + 1 :]]
        points = patches[number].population.points_xy
        assert kept.tolist() == [not any(inside(point[None], box)[0] for box in later) for point in points]
    places = result.nuclei.points_xy
    assert standing.tolist() == [not any(inside(place[None], one.box)[0] for one in patches) for place in places]


def test_a_frame_that_is_corrected_often_is_gone_through_once(result, patch, monkeypatch):
    """Each correction compared all earlier ones with each other."""
    counted = []
    monkeypatch.setattr(
        "coseg_bundle.view.correcting.patches.inside", lambda *of: counted.append(len(of[0])) or inside(*of)
    )
    corrected(result, [patch] * 50)
    assert sum(counted) == 24 + 49 * len(patch.population.types)
