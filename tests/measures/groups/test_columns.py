import pytest

from coseg_bundle.measures.groups.columns import COUNTED, area_columns, count_columns, nearest_columns


def test_by_hand():
    assert count_columns(("tumor", "plasma cell")) == ("nuclei_tumor", "nuclei_plasma_cell")
    assert area_columns(("background", "tissue_stroma")) == ("tissue_background_mm2", "tissue_stroma_mm2")
    assert nearest_columns(("tumor", "plasma cell")) == ("nearest_tumor_um", "nearest_plasma_cell_um")
    assert count_columns(()) == ()


@pytest.mark.parametrize(
    ("classes", "columns"),
    [
        (("low", "high"), ("nuclei_low_2", "nuclei_high_2")),  # bounds of the count of all nuclei
        (("expected", "low_per_mm2"), ("nuclei_expected_2", "nuclei_low_per_mm2_2")),
        (("prob_mean", "prob"), ("nuclei_prob_mean_2", "nuclei_prob")),  # the mean of nuclei_prob
        (("a", "a_low"), ("nuclei_a", "nuclei_a_low_2")),
        (("a_low", "a"), ("nuclei_a_low", "nuclei_a_2")),
        (("a b", "a_b", "nuclei_a b"), ("nuclei_a_b", "nuclei_a_b_2", "nuclei_a_b_3")),
        (("a b", "a_b_2", "a_b"), ("nuclei_a_b", "nuclei_a_b_2", "nuclei_a_b_3")),
    ],
)
def test_no_two_columns_share_a_name(classes, columns):
    assert count_columns(classes) == columns
    everything = [stem + end for stem in ("nuclei", *columns) for end in COUNTED]
    assert len(set(everything)) == len(everything)


def test_areas_and_distances_have_names_of_their_own_too():
    assert area_columns(("a b", "a_b")) == ("tissue_a_b_mm2", "tissue_a_b_2_mm2")
    assert nearest_columns(("a b", "a_b")) == ("nearest_a_b_um", "nearest_a_b_2_um")
