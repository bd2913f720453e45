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
    assert said_of_roles({"taken_for": {"tumor": ["a", "b"], "stroma": [], "inflammatory": ["c"]}}) == ""
    taken_for = {"tumor": [], "stroma": ["a"], "inflammatory": ["b"]}
    said = "stroma is a, inflammatory is b; ratios and infiltration are of these"
    assert said_of_roles({"taken_for": taken_for, "settings": {"roles": {}}}) == f"taken by name: {said}"
    given = {"stroma": ["a"]}
    assert said_of_roles({"taken_for": taken_for, "settings": {"roles": given}}) == (
        f"taken as given, the rest by name: {said}"
    )


TISSUE, NUCLEI = ("other", "Krebs", "stroma", "tumor"), ("background", "Rundzelle", "lymphocyte")


@pytest.mark.parametrize(
    ("given", "roles"),
    [
        ({}, Roles((3,), (2,), (2,))),
        ({"tumor": ["Krebs"]}, Roles((1,), (2,), (2,))),
        ({"tumor": ["tumor", "Krebs", "tumor"], "inflammatory": ["Rundzelle"]}, Roles((1, 3), (2,), (1,))),
        ({"stroma": []}, Roles((3,), (), (2,))),
        ({"stroma": ["tumor"]}, Roles((), (3,), (2,))),
        ({"tumor": ["stroma"]}, Roles((2,), (), (2,))),
    ],
)
def test_roles_that_are_given(given, roles):
    assert Roles.given(given, TISSUE, NUCLEI) == roles


def test_roles_that_are_given_to_what_is_not_there():
    with pytest.raises(ValueError, match=r"role tumor some of the tissue classes other, .*tumor; got 'krebs'\."):
        Roles.given({"tumor": ["Krebs", "krebs"]}, TISSUE, NUCLEI)
    with pytest.raises(
        ValueError, match=r"role inflammatory some of the nuclei classes background, .*; got 'stroma'\."
    ):
        Roles.given({"inflammatory": ["stroma"]}, TISSUE, NUCLEI)
    with pytest.raises(ValueError, match="Expected for 'Krebs' one role, got tumor and stroma"):
        Roles.given({"tumor": ["Krebs"], "stroma": ["Krebs"]}, TISSUE, NUCLEI)
