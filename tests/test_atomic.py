import errno
import os
import pickle
import subprocess
import sys

import pytest

from coseg_bundle.atomic import NoRoomError, carry_over, clear, rename_aside, whole_file, whole_folder, writing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def make(folder, content):
    folder.mkdir()
    (folder / "part").write_text(content)


def ended_process():
    """The id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_file_is_whole_or_as_before(tmp_path):
    for content in ("old", "new"):
        with whole_file(tmp_path / "a.txt") as partial:
            partial.write_text(content)
    with pytest.raises(TypeError), whole_file(tmp_path / "a.txt") as partial:
        partial.write_text(1)
    assert (tmp_path / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def caused_by(error):
    """An error that a package raised from the system's, its traceback in its words."""
    outer = OSError("With tag (006A,0002) got exception: ...\nTraceback (most recent call last):")
    outer.__cause__ = error
    return outer


FULL = "the disk is full, or a quota or limit is reached"


@pytest.mark.parametrize(
    ("error", "reason", "number"),
    [
        (OSError(errno.EFBIG, "File too large"), "File too large", errno.EFBIG),
        (OSError(errno.EFBIG, "Error writing bytes. Detail: [errno 27]"), "File too large", errno.EFBIG),  # Arrow
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/x"), "No space left on device", errno.ENOSPC),
        (
            OSError("1048576 requested and 614272 written"),
            FULL,
            errno.ENOSPC,
        ),  # NumPy
        (
            OSError("encoder error -2 when writing image file"),
            FULL,
            errno.ENOSPC,
        ),  # Pillow
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
            FULL,
            errno.ENOSPC,
        ),  # PyTorch
        (caused_by(OSError(errno.EFBIG, "File too large")), "File too large", errno.EFBIG),  # pydicom
    ],
)
@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_full_disk_is_said_with_the_file(tmp_path, whole, error, reason, number):
    path = tmp_path / "a"
    with pytest.raises(NoRoomError, match="cannot be written there") as raised, whole(path):
        raise error
    assert str(raised.value) == f"{path}: the results cannot be written there ({reason})."
    assert raised.value.errno == number
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
    assert names(tmp_path) == []
    with pytest.raises(NoRoomError) as raised, writing(tmp_path), whole(path):
        raise error
    assert str(raised.value) == f"{tmp_path}: the results cannot be written there ({reason})."


def test_other_errors_stay_as_they_are(tmp_path):
    reading = RuntimeError("[enforce fail at inline_container.cc:157] . PytorchStreamReader failed: truncated")
    for error in (OSError("truncated file"), PermissionError(errno.EACCES, "Permission denied", "b.png"), reading):
        with pytest.raises(type(error), match=r"truncated|b\.png") as raised, whole_file(tmp_path / "a"):
            raise error
        assert raised.value is error


def test_files_put_aside_do_not_replace_each_other(tmp_path):
    for content in ("first", "second", "third"):
        (tmp_path / "a.pt").write_text(content)
        rename_aside(tmp_path / "a.pt")
    former = {"a.former.pt": "first", "a.former-2.pt": "second", "a.former-3.pt": "third"}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == former


def test_new_folder_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "data.zarr"
    for content in ("old", "new"):
        with whole_folder(path) as partial:
            assert partial.suffix == ".zarr"
            make(partial, content)
    assert (path / "part").read_text() == "new"
    assert names(tmp_path) == ["data.zarr"]


def test_error_keeps_the_old_folder(tmp_path):
    make(tmp_path / "data.zarr", "old")
    with pytest.raises(TypeError), whole_folder(tmp_path / "data.zarr") as partial:
        make(partial, 1)  # a folder, and an error while its file is written
    assert (tmp_path / "data.zarr" / "part").read_text() == "old"
    assert names(tmp_path) == ["data.zarr"]


def test_old_folder_comes_back_where_the_new_one_cannot_come(tmp_path):
    make(tmp_path / "data.zarr", "old")
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "data.zarr"):
        pass  # nothing was made
    assert (tmp_path / "data.zarr" / "part").read_text() == "old"
    assert names(tmp_path) == ["data.zarr"]


def test_old_folder_is_never_half_removed_under_its_name(tmp_path, monkeypatch):
    """Whenever something is removed, the new folder stands whole under the name."""
    from coseg_bundle import atomic

    path, seen, rmtree = tmp_path / "data.zarr", [], atomic.shutil.rmtree
    make(path, "old")

    def watched(folder, **options):
        seen.append((folder.name, (path / "part").read_text()))
        rmtree(folder, **options)

    monkeypatch.setattr(atomic.shutil, "rmtree", watched)
    with whole_folder(path) as partial:
        make(partial, "new")
    assert path.name not in [name for name, _ in seen]
    assert {content for _, content in seen} == {"new"}


def test_next_run_clears_what_killed_runs_left(tmp_path):
    """Half a folder goes; one that was put aside comes back, until the new one is there."""
    path, gone = tmp_path / "data.zarr", ended_process()
    make(tmp_path / f".{gone}.data.zarr", "half")
    make(tmp_path / f".{gone}.old.data.zarr", "old")
    running = f".{os.getppid()}.data.zarr"
    for other in (running, f".{gone}.other.zarr", ".x.data.zarr"):
        make(tmp_path / other, "not ours")
    with whole_folder(path) as partial:
        assert (path / "part").read_text() == "old"
        make(partial, "new")
    assert (path / "part").read_text() == "new"
    assert names(tmp_path) == sorted([running, f".{gone}.other.zarr", ".x.data.zarr", "data.zarr"])


def test_clear_removes_what_killed_runs_left(tmp_path):
    gone = ended_process()
    left, kept = (
        [f".{gone}.a.tif", f".{gone}.b.json"],
        [f".{os.getppid()}.a.tif", "a.tif", ".hidden", f".{gone}.old.x", ".1a.x"],
    )
    for name in (*left, *kept):
        (tmp_path / name).write_text("x")
    (tmp_path / f".{gone}.folder").mkdir()  # `whole_folder` looks after its own
    clear(tmp_path)
    assert names(tmp_path) == sorted([*kept, f".{gone}.folder"])
    clear(tmp_path / "not there")


def test_what_somebody_put_there_is_carried_over(tmp_path):
    former, new = tmp_path / "former", tmp_path / "new"
    new.mkdir()
    carry_over(former, new, lambda place: False)  # there is none
    (former / "sub").mkdir(parents=True)
    for name in ("own.csv", "mine.csv", "sub/own.csv"):
        (former / name).write_text("before")
    (new / "own.csv").write_text("after")
    carry_over(former, new, lambda place: str(place) == "own.csv")
    found = {str(path.relative_to(new)): path.read_text() for path in new.rglob("*.csv")}
    assert found == {"own.csv": "after", "mine.csv": "before", "sub/own.csv": "before"}
