import pytest

from coseg_bundle.lazy import lazily


def test_names_come_from_their_homes():
    attribute, names = lazily("coseg_bundle", {"stem_of": "data.images", "CONFIG": "bundle_root"})
    assert attribute("CONFIG").name == "inference.yaml"
    assert attribute("stem_of")("a/b.png") == "b"
    assert names() == ["CONFIG", "stem_of"]
    with pytest.raises(AttributeError, match="module 'coseg_bundle' has no attribute 'other'"):
        attribute("other")
