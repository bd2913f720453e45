import io
import json
import random
import struct
import zipfile
import zlib

import pytest

from tests.cases.image_files import RGB, png, tiff_bytes
from tests.cases.zips import BUNDLE

from . import damage

TEXT = json.dumps({"a": [1, 2, {"b": "c"}], "d": None}).encode()
EVERY = [
    *damage.PLAIN,
    *(damage.tagged, damage.chunked, damage.worded, damage.keyed, damage.deepened, damage.zipped),
    damage.spliced([b"other", TEXT]),
]


def test_cut_by_hand():
    assert damage.cut(b"abcd", random.Random(3)) in {b"abcd"[:n] for n in range(5)} | {b"abcd"[n:] for n in range(5)}


@pytest.mark.parametrize("one", EVERY)
@pytest.mark.parametrize("content", [b"", b"a", TEXT, tiff_bytes(), png(RGB), BUNDLE])
def test_the_same_seed_gives_the_same_damage_of_anything(one, content):
    damaged = [one(content, random.Random(seed)) for seed in range(20)]
    assert damaged == [one(content, random.Random(seed)) for seed in range(20)]
    assert all(isinstance(each, bytes) for each in damaged)
    assert len(content) < 2 or set(damaged) != {content}


def test_a_tag_alone_is_edited():
    whole = tiff_bytes()
    start = struct.unpack_from("<I", whole, 4)[0]
    for seed in range(50):
        edited = damage.tagged(whole, random.Random(seed))
        changed = [at for at, (a, b) in enumerate(zip(whole, edited, strict=True)) if a != b]
        assert not changed or (changed[0] >= start + 2 and changed[-1] - changed[0] < 4)


def test_sums_of_chunks_are_right():
    for seed in range(50):
        edited, at = damage.chunked(png(RGB), random.Random(seed)), 8
        while at < len(edited):
            (length,) = struct.unpack_from(">I", edited, at)
            body = edited[at + 4 : at + 8 + length]
            assert struct.unpack_from(">I", edited, at + 8 + length)[0] == zlib.crc32(body)
            at += 12 + length


def test_keys_of_json_stay_json():
    found = {damage.keyed(TEXT, random.Random(seed)) for seed in range(200)}
    assert len({json.dumps(json.loads(each)) for each in found}) > 50


def test_zips_stay_sound():
    for seed in range(50):
        with zipfile.ZipFile(io.BytesIO(damage.zipped(BUNDLE, random.Random(seed)))) as archive:
            assert archive.testzip() is None


def test_its_sum_lies_beside_it():
    assert damage.digest_of(b"") == b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
