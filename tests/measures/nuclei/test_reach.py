import numpy as np
import pytest

from coseg_bundle.measures.nuclei.neighbours import Neighbours, neighbour_columns
from coseg_bundle.measures.nuclei.reach import reach_of


@pytest.mark.parametrize(
    ("column", "value", "of", "um", "type_id"),
    [
        ("nearest_um", 7.5, "places", 7.5, None),
        ("nearest_plasma_cell_um", 40, "places", 40, 2),
        ("neighbours_25um", 3, "places", 25, None),
        ("neighbours_50um", 0, "places", 50, None),
        ("local_density_per_mm2", 9 / (np.pi * 0.03**2), "places", 30, None),  # the tenth lies at 30 um
        ("ring_eosin_od", 0.2, "outlines", 25, None),
        ("tissue_border_um", 12, "tissue", 12, None),
        ("tumor_um", 80, "tissue", 80, None),
    ],
)
def test_by_hand(column, value, of, um, type_id):
    found = reach_of(column, np.array([value, np.nan], np.float32), ("tumour", "plasma cell"))
    assert (found.of, found.type_id) == (of, type_id)
    np.testing.assert_allclose(found.um, [um, np.nan], rtol=1e-6)


@pytest.mark.parametrize("column", ["area_um2", "nuclei_prob", "haematoxylin_od", "nearest_stroma_um"])
def test_of_the_nucleus_alone(column):
    assert reach_of(column, np.ones(1), ("tumour", "plasma cell")) is None


def test_every_column_of_neighbours_has_a_reach():
    points, types = np.random.default_rng(0).uniform(0, 99, (30, 2)), np.arange(30) % 2 + 1
    measured = Neighbours.of(points, types, ("a", "b")).measures(points, types)
    assert {reach_of(name, measured[name], ("a", "b")).of for name in neighbour_columns(("a", "b"))} == {"places"}
