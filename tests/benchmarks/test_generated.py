import numpy as np
import pytest

from coseg_bundle.benchmarks.generated import colour_reader, ellipses, network_output, write_slide
from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing
from coseg_bundle.wsi.read.reader import open_slide
from coseg_bundle.wsi.segment.regions import segment_region


def test_ellipses():
    instances = ellipses(9, size=120)
    assert np.unique(instances).tolist() == list(range(10))
    rows = instances.any(axis=1).nonzero()[0]
    assert rows.min() > 0
    assert rows.max() < 119


def test_network_output_is_understood():
    pred = network_output(ellipses(25, size=200))
    assert len(PostProcessing(HeadLayout(2, 5))(pred).instances) == 25


@pytest.mark.parametrize("tile", [256, 1024])
def test_slide_holds_the_nuclei_again_and_again(tmp_path, tile):
    slide = write_slide(tmp_path / "slide.tif", 3072, tissue=2048, tile=tile)
    with open_slide(slide) as reader:
        assert (reader.size_xy, reader.mpp) == ((3072, 3072), 0.25)
        counts = [len(segment_region(reader, colour_reader(), (x, 0, 1024, 1024)).nuclei) for x in (0, 1024, 2048)]
    assert counts[0] > 600
    assert counts[2] == 0
    assert abs(counts[0] - counts[1]) <= 30
