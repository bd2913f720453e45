import pytest

from coseg_bundle.classes import NUCLEI_PRESETS, TISSUE_PRESETS, ClassMap


def test_ids_are_positions():
    classes = ClassMap(["background", "gland", "unheard of"])
    assert [classes.id_of(name) for name in classes.names] == [0, 1, 2]
    assert classes.name_of(2) == "unheard of"
    assert len(classes) == 3
    assert classes.colour_of(1) == (0, 160, 135)
    assert all(0 <= c <= 255 for c in classes.colour_of(2))


@pytest.mark.parametrize("names", [[], ["a", "a"], ["a", " "]])
def test_names_must_be_unique(names):
    with pytest.raises(ValueError, match="unique"):
        ClassMap(names)


def test_unknown_classes_are_named():
    classes = TISSUE_PRESETS["gland"]
    with pytest.raises(ValueError, match=r"Unknown class 'tumor'.*background, gland"):
        classes.id_of("tumor")
    with pytest.raises(ValueError, match="expected 0 to 1"):
        classes.name_of(-1)


def test_nuclei_presets_start_with_background():
    assert all(preset.names[0] == "background" for preset in NUCLEI_PRESETS.values())


def test_neither_the_first_class_nor_the_ground_is_tinted():
    classes = ClassMap(("empty", "gland", "other_tissue"))
    assert [classes.is_tinted(i) for i in range(3)] == [False, True, False]
