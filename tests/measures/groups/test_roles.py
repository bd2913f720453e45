from coseg_bundle.classes import NUCLEI_PRESETS, TISSUE_PRESETS
from coseg_bundle.measures.groups.roles import Roles


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
