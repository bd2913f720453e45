import pytest

from coseg_bundle.classes import NUCLEI_PRESETS, TISSUE_PRESETS
from coseg_bundle.measures.groups.roles import Roles, said_of_roles


def test_puma():
    tissue, nuclei = TISSUE_PRESETS["puma"], NUCLEI_PRESETS["puma_track2"]
    roles = Roles.of(tissue.names, nuclei.names)
    assert [tissue.name_of(i) for i in roles.tumor] == ["tissue_tumor"]
    assert [tissue.name_of(i) for i in roles.stroma] == ["tissue_stroma"]
    found = {nuclei.name_of(i).removeprefix("nuclei_") for i in roles.inflammatory}
    assert found == {"lymphocyte", "plasma_cell", "histiocyte", "neutrophil"}


def test_stroma_of_a_tumour_is_stroma():
    assert Roles.of(("other", "Tumour-associated stroma", "Tumour"), ("background",)) == Roles((2,), (1,), ())


def test_none():
    assert Roles.of(("background", "gland"), ("background", "nucleus")) == Roles()


@pytest.mark.parametrize(
    ("name", "is_tumor", "is_stroma"),
    [
        ("non-neoplastic", False, False),
        ("non_tumor epithelium", False, False),
        ("NonTumor", False, False),
        ("nontumor", False, False),
        ("no tumor", False, False),
        ("peritumoral", False, False),
        ("normal tissue adjacent to tumor", False, False),
        ("tumor-free", False, False),
        ("tumor necrosis", False, False),
        ("tumor-infiltrating lymphocytes", False, False),
        ("Tumor (not necrotic)", True, False),
        ("fibroadenoma", False, False),
        ("fibroadipose", False, False),
        ("myofibroblastic", False, True),
        ("fibrovascular core", False, True),
        ("non-stroma", False, False),
        ("non-small cell carcinoma", True, False),
        ("adenocarcinoma", True, False),
        ("Tumor: Negative", True, False),
        ("invasive_tumour_2", True, False),
        ("TumorStroma", False, True),
        ("tumorstroma", False, True),
        ("fibrous tissue", False, True),
        ("normal stroma", False, True),
    ],
)
def test_a_name_that_denies_a_role(name, is_tumor, is_stroma):
    """`non-neoplastic` was tumour, and a fibroadenoma stroma."""
    roles = Roles.of(("background", name), ("background",))
    assert (bool(roles.tumor), bool(roles.stroma)) == (is_tumor, is_stroma)


def test_nuclei_that_are_not_inflammatory():
    names = (
        "background",
        "non-inflammatory",
        "cytoplasm",
        "neoplasma",
        "anti-PD1",
        "inflammatory",
        "plasma cell",
        "lymphoma",
        "lymphoplasmacytic",
    )
    assert Roles.of(("tissue",), names).inflammatory == (5, 6, 8)


def test_roles_are_said_where_measures_depend_on_them():
    assert said_of_roles({"tumor": ["a", "b"], "stroma": [], "inflammatory": ["c"]}) == ""
    assert said_of_roles({"tumor": [], "stroma": ["a"], "inflammatory": ["b"]}) == (
        "taken by name: stroma is a, inflammatory is b; ratios and infiltration are of these"
    )
