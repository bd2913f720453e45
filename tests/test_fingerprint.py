import hashlib
import os

import numpy as np
import pytest
import tifffile

from coseg_bundle import fingerprint as module
from coseg_bundle.data.images import ImageFileError, read_image
from coseg_bundle.fingerprint import companions, fingerprint, is_junk
from coseg_bundle.wsi.read.reader import open_slide


def test_by_hand(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc")
    expected = hashlib.sha256(b"\x003\x00" + hashlib.sha256(b"abc").digest()).hexdigest()
    assert fingerprint(tmp_path / "a.txt") == expected
    os.utime(tmp_path / "a.txt", (1, 1))
    os.rename(tmp_path / "a.txt", tmp_path / "b.txt")
    assert fingerprint(tmp_path / "b.txt") == expected  # neither its name nor its times count
    (tmp_path / "b.txt").write_bytes(b"abd")
    assert fingerprint(tmp_path / "b.txt") != expected


@pytest.mark.parametrize("at", [0, 5000, -1])
def test_large_files_by_their_ends_and_blocks(tmp_path, monkeypatch, at):
    monkeypatch.setattr(module, "WHOLE_BYTES", 100)
    monkeypatch.setattr(module, "_END", 256)
    content = bytearray(np.random.default_rng(0).bytes(10_000))
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    before = fingerprint(path)
    content[at] ^= 1
    path.write_bytes(content)
    assert fingerprint(path) != before


def test_a_large_tiff_by_its_index(tmp_path, monkeypatch):
    """A tile that no block touches was written again: its length says so."""
    monkeypatch.setattr(module, "WHOLE_BYTES", 100)
    monkeypatch.setattr(module, "_END", 1)
    monkeypatch.setattr(module, "_BLOCKS", 1)
    monkeypatch.setattr(module, "_BLOCK", 1)
    rng = np.random.default_rng(0)
    images = [np.zeros((64, 64), np.uint8) for _ in range(2)]
    images[1][32:, 32:] = rng.integers(0, 255, (32, 32))
    prints = []
    for image in images:
        tifffile.imwrite(tmp_path / "a.tif", image, tile=(16, 16), compression="deflate")
        with (tmp_path / "a.tif").open("ab") as file:
            file.truncate(20_000)
        prints.append(fingerprint(tmp_path / "a.tif"))
    assert prints[0] != prints[1]


def test_companions(tmp_path):
    def write(name, content=b"x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    mrxs = write("s.mrxs")
    data = [write("s/Data0000.dat"), write("s/Slidedat.ini")]
    write("t/Data0000.dat")
    assert companions(mrxs) == data
    before = fingerprint(mrxs)
    data[0].write_bytes(b"y")
    assert fingerprint(mrxs) != before
    assert companions(write("lonely.mrxs")) == []
    ome = write("a.ome.tif", b'II*\0 <OME> <UUID FileName="b.ome.tif"/> <UUID FileName="gone.tif"/>')
    named = write("b.ome.tif")
    assert companions(ome) == [named]
    vms = write("a.vms", b"[Virtual Microscope Specimen]\nImageFile=a-0.jpg\nMapFile=gone.jpg\n")
    named = write("a-0.jpg")
    assert companions(vms) == [named]


def test_names_of_junk():
    names = ("a.png", "._a", "@eaDir", "__MACOSX", "Thumbs", "Thumbs.db", "Icon\r", "Slidedat.ini", "desktop.ini")
    assert [name for name in names if not is_junk(name)] == ["a.png", "Thumbs", "Slidedat.ini"]


@pytest.mark.parametrize("slide", ["s.mrxs", "s"])
def test_what_systems_leave_in_a_folder_does_not_count(tmp_path, slide):
    """Looked at in a file manager, a slide is the one that its results were made of; `.zattrs` is a part of it."""
    (tmp_path / "s.mrxs").write_bytes(b"x")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "Data0000.dat").write_bytes(b"x")
    before = fingerprint(tmp_path / slide)
    for name in (".DS_Store", "Thumbs.db", "._Data0000.dat"):
        (tmp_path / "s" / name).write_bytes(b"left")
    assert fingerprint(tmp_path / slide) == before
    (tmp_path / "s" / ".zattrs").write_bytes(b"{}")
    assert fingerprint(tmp_path / slide) != before


def test_the_rest_of_a_dicom_series(tmp_path):
    pydicom = pytest.importorskip("pydicom")

    def write(name, series):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.6", pydicom.uid.generate_uid()
        data.SeriesInstanceUID = series
        data.save_as(tmp_path / name, enforce_file_format=True)
        return tmp_path / name

    one, two, _ = write("1.dcm", "1.2.3"), write("2.dcm", "1.2.3"), write("3.dcm", "1.2.4")
    (tmp_path / "notes.txt").write_text("no DICOM")
    assert companions(one) == [two]


@pytest.fixture
def three_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for side in (64, 32, 16):
            file.write(np.full((side, side, 3), side, np.uint8), photometric="rgb", tile=(16, 16))
    return tmp_path / "a.tif"


@pytest.mark.parametrize(("most", "end"), [(2, False), (3, True), (4, True)])
def test_pages_that_end(three_pages, monkeypatch, most, end):
    monkeypatch.setattr(module, "MOST_TIFF_PAGES", most)
    with tifffile.TiffFile(three_pages) as file:
        assert module.tiff_pages_end(file) == end


def test_more_pages_are_one_sentence(three_pages, monkeypatch):
    assert read_image(three_pages).rgb.shape == (64, 64, 3)
    monkeypatch.setattr(module, "MOST_TIFF_PAGES", 2)
    for read in (read_image, lambda path: open_slide(path, mpp=0.25)):
        with pytest.raises(ImageFileError, match=r"a\.tif: expected one image, and its header lists more than"):
            read(three_pages)
    assert fingerprint(three_pages)
