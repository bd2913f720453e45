from __future__ import annotations

import os

import pytest

from coseg_bundle.web.access import (
    Access,
    DatastoreNameError,
    check_names,
    file_inside,
    plain_name,
    without_folders,
)


@pytest.mark.parametrize("name", ["slide1", "a b", "Fall 12 (HE)", "a.b", "ä", "x" * 200])
def test_plain_names(name):
    assert plain_name(name, "image") == name


@pytest.mark.parametrize(
    "name",
    ["", "..", ".", "a/b", "/a", "a\\b", "C:a", "a\0b", "a\nb", ".lock", "NUL", "con.png", " a", "x" * 201, 3, None],
)
def test_other_names_are_refused(name):
    with pytest.raises(DatastoreNameError, match="Expected image to be a name of the datastore"):
        plain_name(name, "image")


def test_the_bundle_is_not_for_a_request_to_choose():
    with pytest.raises(DatastoreNameError, match="cannot choose the bundle; start the server with --conf bundle"):
        check_names({"bundle_path": "x"})


def test_a_token_that_goes_into_no_address(monkeypatch):
    with pytest.raises(ValueError, match="Expected a token of 8 or more letters"):
        Access.of({"token": "a b"})


@pytest.mark.parametrize(
    "fields", [{"image": "../a"}, {"images": ["a", "/b"]}, {"coseg": {"label_tag": "a/b"}}, {"bundle_path": "x"}]
)
def test_names_in_options_are_checked(fields):
    with pytest.raises(DatastoreNameError):
        check_names(fields)


def test_usual_options_pass():
    check_names({"images": "all", "max_epochs": 1, "label_tag": "original", "coseg": {"client_id": "a/b"}})


def test_only_regular_files_of_the_folder(tmp_path):
    studies = tmp_path / "studies"
    studies.mkdir()
    (studies / "a.png").write_bytes(b"1")
    (tmp_path / "outside.png").write_bytes(b"2")
    (studies / "link.png").symlink_to(tmp_path / "outside.png")
    (studies / "near.png").symlink_to(studies / "a.png")
    os.mkfifo(studies / "pipe.png")
    assert file_inside(studies / "a.png", studies) == (studies / "a.png").resolve()
    assert file_inside(studies / "near.png", studies) == (studies / "a.png").resolve()
    for name in ("link.png", "pipe.png", "none.png", "../outside.png", "a\0.png", ""):
        assert file_inside(studies / name, studies) is None


def test_sentences_lose_their_folders():
    assert without_folders("/data/studies/a.png: broken; see /tmp/b/c.tif") == "a.png: broken; see c.tif"
    assert without_folders("expected 1/2 and http://127.0.0.1/a/b") == "expected 1/2 and http://127.0.0.1/a/b"


@pytest.mark.parametrize(
    ("host", "local", "ok"),
    [
        ("127.0.0.1:8000", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("[::1]:8000", "::1", True),
        ("example.org", "127.0.0.1", False),
        ("localhost", "192.0.2.7", False),
        ("192.0.2.7:8000", "192.0.2.7", False),
        ("", "127.0.0.1", False),
        ("a b", "127.0.0.1", False),
    ],
)
def test_only_the_loopback_is_known(host, local, ok):
    assert (Access().refusal(host, None, local, "http") is None) == ok


def test_hosts_and_origins_can_be_allowed():
    access = Access.of({"allowed_hosts": "Slides.lab, 192.0.2.7", "allowed_origins": "https://viewer.lab/"})
    assert access.refusal("slides.lab:8000", None, "192.0.2.7", "http") is None
    assert access.refusal("slides.lab", "https://viewer.lab", "192.0.2.7", "http") is None
    assert access.refusal("slides.lab", "http://slides.lab", "192.0.2.7", "http") is None
    for origin in ("null", "http://example.org", "https://slides.lab"):
        assert "may not ask" in str(access.refusal("slides.lab", origin, "192.0.2.7", "http"))


def test_token(tmp_path):
    assert Access().knows("")
    access = Access.of({"token": "correct-horse"})
    assert access.knows("correct-horse")
    assert not access.knows("")
    assert not access.knows("correct-horsé")
    (tmp_path / "token").write_text("from-a-file\n")
    assert Access.of({"token_file": str(tmp_path / "token")}).token == "from-a-file"
    with pytest.raises(ValueError, match=r"Expected the token in .*gone, which cannot be read"):
        Access.of({"token_file": str(tmp_path / "gone")})
    with pytest.raises(ValueError, match="token of 8 or more"):
        Access.of({"token": "short"})
