import numpy as np
import pytest
import shapely
from maps import discs
from standin import paint, predictor, write_slide

from coseg_bundle.inferers import Predictor, two_scales
from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing
from coseg_bundle.wsi.read.reader import open_slide
from coseg_bundle.wsi.segment.nuclei import NucleiSettings
from coseg_bundle.wsi.segment.regions import segment_region


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """720 x 560 px with some 600 nuclei, many of them touching, and glands."""
    instances = discs(720, 700, seed=1)[:560]
    yy, xx = np.mgrid[:560, :720]
    gland = ((xx - 300) ** 2 / 200**2 + (yy - 250) ** 2 / 150**2 < 1) | (xx > 600)
    path = write_slide(tmp_path_factory.mktemp("slide") / "slide.tif", paint(instances, gland))
    return path, instances


def whole(path, **options):
    with open_slide(path) as reader:
        return segment_region(reader, predictor(), (0, 0, *reader.size_xy), **options)


def rows(table, digits=6):
    """Everything about each nucleus, in an order of its own."""
    order = np.lexsort(np.round(table.centroid_xy, 6).T)
    table = table.select(order)
    numbers = [
        table.area_um2,
        table.type_id,
        table.nuclei_prob,
        table.disagreement,
        table.tissue_id,
        table.tissue_border_um,
    ]
    return [shapely.to_wkt(shapely.normalize(table.polygons)).tolist(), *(np.asarray(n).tolist() for n in numbers)]


def test_one_tile_is_what_predict_says(slide):
    path, _ = slide
    model = predictor()
    with open_slide(path) as reader:
        rgb = reader.read(0, 0, 720, 560, 0.25)  # beyond it both go on as in a mirror
        result = segment_region(reader, model, (0, 0, 720, 560), tile_px=832 + 128, halo_px=64)
    parts = (model.network, model.inferer, model.postprocessing, model.tissue_classes, model.nuclei_classes, model.mpp)
    prediction = Predictor(*parts).predict(rgb)
    nuclei, instances = result.nuclei, prediction.instances
    assert len(nuclei) == len(instances) > 400
    # At the very edge the separation of touching nuclei knows what lies beyond in a slide, and guesses it in an image.
    corners = np.array([[*contour.min(0), *contour.max(0)] for contour in instances.contours_xy])
    inside = (corners > 12).all(1) & (corners < [720 - 12, 560 - 12] * 2).all(1)
    assert inside.sum() > 350
    assert np.allclose(nuclei.centroid_xy[inside], instances.centroid_xy[inside])
    assert np.allclose(nuclei.area_um2[inside], instances.area_px[inside] / 16)
    assert np.allclose(nuclei.nuclei_prob[inside], instances.nuclei_prob[inside], atol=1e-6)
    assert np.allclose(nuclei.disagreement[inside], instances.disagreement[inside], atol=1e-6)
    for index in np.nonzero(inside)[0]:
        assert shapely.Polygon(instances.contours_xy[index]).equals(nuclei.polygons[index])


@pytest.mark.parametrize(("tile_px", "halo_px"), [(128, 16), (192, 32), (320, 8), (512, 64)])
def test_tiled_equals_untiled(slide, tile_px, halo_px, monkeypatch):
    path, _ = slide
    untiled = whole(path, tile_px=1024 + 128, halo_px=64)
    monkeypatch.setattr("coseg_bundle.wsi.segment.regions.PIECE_PX", tile_px)
    tiled = whole(path, tile_px=tile_px, halo_px=halo_px)
    assert rows(tiled.nuclei) == rows(untiled.nuclei)
    assert np.array_equal(tiled.tissue_map, untiled.tissue_map)
    assert [r.polygon.wkt for r in tiled.tissue] == [r.polygon.wkt for r in untiled.tissue]


def test_moved_tiles_change_nothing(slide):
    path, _ = slide
    assert rows(whole(path, tile_px=256, halo_px=32, offset_px=96).nuclei) == rows(
        whole(path, tile_px=256, halo_px=32).nuclei
    )


def test_finds_the_painted_nuclei(slide):
    path, instances = slide
    result = whole(path, tile_px=256, halo_px=32)
    painted = np.unique(instances[2:-2, 2:-2]).size - 1
    assert abs(len(result.nuclei) - painted) < 0.1 * painted
    assert shapely.is_valid(result.nuclei.polygons).all()
    assert {region.tissue_id for region in result.tissue} == {1}


def test_regions_side_by_side_share_no_nucleus_and_miss_none(slide):
    path, _ = slide
    with open_slide(path) as reader:
        parts = [
            segment_region(reader, predictor(), box, tile_px=256, halo_px=32).nuclei
            for box in ((0, 0, 400, 560), (400, 0, 320, 300), (400, 300, 320, 260))
        ]
    everything = whole(path, tile_px=256, halo_px=32).nuclei
    found = sorted(wkt for part in parts for wkt in shapely.to_wkt(part.polygons))
    assert found == sorted(shapely.to_wkt(everything.polygons))


def test_a_clump_longer_than_the_margin(tmp_path):
    """A chain of touching nuclei through several pieces."""
    instances = np.zeros((64, 640), np.int32)
    yy, xx = np.mgrid[:64, :640]
    for number in range(40):
        disc = (xx - 20 - number * 15) ** 2 + (yy - 32) ** 2 <= 64
        instances[disc & (instances == 0)] = number + 1
    path = write_slide(tmp_path / "chain.tif", paint(instances))
    untiled = whole(path, tile_px=1024, halo_px=64)
    tiled = whole(path, tile_px=96, halo_px=16)
    assert len(untiled.nuclei) == 40
    assert rows(tiled.nuclei) == rows(untiled.nuclei)


def test_other_resolution_comes_back_in_pixels_of_the_slide(slide):
    path, _ = slide
    with open_slide(path, mpp=0.5) as reader:  # now the nuclei are twice as large
        result = segment_region(reader, predictor(), (0, 0, 720, 560), tile_px=512, halo_px=64)
    x0, y0, x1, y1 = shapely.total_bounds(result.nuclei.polygons)
    assert np.all((np.array([x0, y0]) >= 0) & (np.array([x0, y0]) < 20))
    assert 700 < x1 <= 720
    assert 540 < y1 <= 560
    assert np.allclose(result.nuclei.area_um2, shapely.area(result.nuclei.polygons) * 0.25, rtol=0.15)


def test_types(slide):
    path, _ = slide
    with open_slide(path) as reader:
        table = segment_region(reader, predictor(types=3), (0, 0, 300, 300), tile_px=256, halo_px=32).nuclei
    assert set(table.type_id.tolist()) <= {1, 2, 3}
    assert ((table.type_prob > 0.3) & (table.type_prob <= 1)).all()


def test_nothing_there(tmp_path):
    path = write_slide(tmp_path / "white.tif", np.full((300, 300, 3), 255, np.uint8))
    result = whole(path, tile_px=128, halo_px=16)
    assert len(result.nuclei) == 0
    assert result.tissue == ()
    assert result.tissue_map.shape == (75, 75)


def test_box_outside(slide):
    with open_slide(slide[0]) as reader, pytest.raises(ValueError, match="shares pixels"):
        segment_region(reader, predictor(), (5000, 0, 100, 100))


def test_halo_without_core(slide):
    with open_slide(slide[0]) as reader, pytest.raises(ValueError, match="twice its halo"):
        segment_region(reader, predictor(), (0, 0, 100, 100), tile_px=128, halo_px=64)


def test_minmax_is_refused(slide):
    model = predictor()
    object.__setattr__(model.postprocessing, "normalisation", "minmax")
    with open_slide(slide[0]) as reader, pytest.raises(ValueError, match="normalisation: fixed"):
        segment_region(reader, model, (0, 0, 100, 100))


def test_every_setting_of_the_separation_reaches_the_slide():
    settings = PostProcessing(
        HeadLayout(2),
        nuclei_threshold=0.6,
        sobel_size=11,
        edge_threshold=0.45,
        min_nucleus_area_px=7,
        min_nucleus_prob=0.8,
        nucleus_opening_px=5,
    )
    expected = NucleiSettings(
        nuclei_threshold=0.6, sobel_size=11, edge_threshold=0.45, min_area_px=7, min_prob=0.8, opening_px=5
    )
    assert NucleiSettings.of(settings) == expected


def test_the_middle_of_a_region_of_unknown_resolution_tells_for_all_of_it(slide):
    path, _ = slide
    model, seen = predictor(), []
    inferer = model.inferer

    def recorded(images, network):
        seen.append((two_scales._image.get(), images))
        return inferer(images, network)

    model.inferer = recorded
    with open_slide(path) as reader:
        segment_region(reader, model, (100, 100, 400, 400), tile_px=192, halo_px=32, batch_size=1, known=False)
        middle = reader.read(224, 224, 192, 192, 0.25)  # the tile of 256 to 384, with its halo
    images, parts = zip(*seen, strict=True)
    assert len(parts) > 9
    assert {id(image) for image in images} == {id(images[0])}  # one image
    assert not images[0].known
    assert np.allclose(np.asarray(parts[0][0]).transpose(1, 2, 0) * 255, middle)
