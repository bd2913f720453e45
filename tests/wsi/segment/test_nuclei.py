import numpy as np
import shapely

from coseg_bundle.postprocessing.instances import instance_table
from coseg_bundle.wsi.segment.nuclei import NucleiTable


def test_outlines_by_hand():
    """Two pixels at the right border of a slide of 9 px whose network pixels are 2 wide: the last one is cut there."""
    instances = np.zeros((4, 5), np.int32)
    instances[1, 3:] = 1
    table = NucleiTable.of(instance_table(instances), 0, 0, 2.0, 0.5, (9, 8))
    [polygon] = table.polygons
    assert polygon.equals(shapely.box(6, 2, 9, 4))
    assert polygon.exterior.is_ccw
    assert table.area_um2.tolist() == [0.5]


def test_outlines_run_counterclockwise():
    rng = np.random.default_rng(0)
    instances = rng.integers(0, 4, (40, 40)).astype(np.int32)
    polygons = NucleiTable.of(instance_table(instances), 7, 5, 1.1, 0.25, (50, 48)).polygons
    assert len(polygons) == 3
    assert all(polygon.exterior.is_ccw for polygon in polygons)
    assert shapely.total_bounds(polygons)[2] <= 50
