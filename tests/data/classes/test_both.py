import pytest

from coseg_bundle.data.classes import said_of_both


@pytest.fixture
def items(tmp_path):
    """Makes items of images that hold these bytes, by name; without any the file is not there."""

    def make(**contents):
        for name, content in contents.items():
            if content:
                (tmp_path / name).write_bytes(content)
        return [{"image": str(tmp_path / name)} for name in contents]

    return make


def test_by_hand(items):
    """One that was copied under another name, one of the same size, one that is in both, one of another size."""
    training = items(a=b"one", b=b"two")
    [sentence] = said_of_both(training, [*items(copy=b"two", c=b"six"), training[0], *items(d=b"twice")])
    copy, original = items(copy=b"two", b=b"two")
    assert sentence == (
        f"2 of 4 validation images are training images too (first: {copy['image']}, which is {original['image']}): "
        "scores of what was trained on are too good, so keep each image for one of the two."
    )
    [sentence] = said_of_both(training, training[1:], "testing")
    assert sentence.startswith(f"1 of 1 testing images are training images too (first: {original['image']}): scores")


def test_nothing_is_in_both(items):
    assert said_of_both(items(a=b"one"), items(b=b"two", c=b"three")) == ()
    assert said_of_both([], items(b=b"two")) == said_of_both(items(b=b"two"), []) == ()


def test_files_that_are_not_there(items, tmp_path):
    """A datalist that is joined to another may be of another machine."""
    assert said_of_both(items(a=b"", b=b"one"), items(c=b"")) == ()
    assert len(said_of_both(items(a=b""), items(a=b""))) == 1


def test_a_link_is_what_it_leads_to(items, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    [sentence] = said_of_both(items(a=b"one"), [{"image": str(tmp_path / "link")}])
    assert f"{tmp_path / 'link'}, which is {tmp_path / 'a'}" in sentence
