"""Ways to damage a file. Each takes bytes and a generator of random numbers, and gives bytes."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

Damage = Callable[[bytes, random.Random], bytes]

NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    127,
    128,
    255,
    256,
    1023,
    32767,
    32768,
    65535,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        0.5,
        1e308,
        -1e-9,
        2**31,
        2**63,
        10**30,
        float("nan"),
        float("inf"),
        "",
        "a",
        "../a",
    ),
    *(
        "1",
        "0",
        "nan",
        "\x00",
        "ä",
        [],
        {},
        [[]],
        [None],
        [[], []],
        {"": None},
        {"a": {"a": []}},
        [1, 2, 3],
        "x" * 5000,
    ),
)
WORDS = (
    b"",
    b"0",
    b"-1",
    b"1e999",
    b"nan",
    b"inf",
    b"9" * 30,
    b"'",
    b'"',
    b"<",
    b">",
    b"&",
    b"&#0;",
    b"]",
    b"}",
    b"\0",
    b"\xff",
    b"()",
    b"True",
    b"None",
)


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Some bits are others."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def headed(content: bytes, rng: random.Random) -> bytes:
    """Some bytes near the beginning are others."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 2, 4))):
        if data:
            data[rng.randrange(min(len(data), 400))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return bytes(data)


def numbered(content: bytes, rng: random.Random) -> bytes:
    """A whole number somewhere is another one."""
    data = bytearray(content)
    kind = rng.choice("BHIQ")
    size = struct.calcsize(kind)
    if len(data) > size:
        at = rng.randrange(min(len(data), rng.choice((400, len(data)))) - size + 1) if len(data) > size else 0
        struct.pack_into(rng.choice("<>") + kind, data, at, rng.choice(NUMBERS) % 256**size)
    return bytes(data)


def cut(content: bytes, rng: random.Random) -> bytes:
    """The rest is missing, or the beginning."""
    at = rng.randrange(len(content) + 1)
    return content[:at] if rng.random() < 0.8 else content[at:]


def overwritten(content: bytes, rng: random.Random) -> bytes:
    """A run of bytes is zeros, ones or noise."""
    start = rng.randrange(len(content) + 1)
    length = rng.choice((1, 4, 16, 64, 1024))
    filler = rng.choice((b"\0", b"\xff", b"")) * length or rng.randbytes(length)
    return content[:start] + filler + content[start + length :]


def shifted(content: bytes, rng: random.Random) -> bytes:
    """A run of bytes is missing, there twice, or put in."""
    start, length = rng.randrange(len(content) + 1), rng.choice((1, 2, 4, 12, 64, 512))
    run = content[start : start + length]
    return content[:start] + rng.choice((b"", run * 2, rng.randbytes(length) + run)) + content[start + length :]


def spliced(others: Sequence[bytes]) -> Damage:
    """The beginning of one file, the end of another."""

    def damage(content: bytes, rng: random.Random) -> bytes:
        other = rng.choice(others)
        at, from_ = rng.randrange(len(content) + 1), rng.randrange(len(other) + 1)
        return content[: min(at, rng.choice((8, 64, 400, len(content))))] + other[from_:]

    return damage


def tagged(content: bytes, rng: random.Random) -> bytes:
    """A tag of a TIFF has another number, kind, count or value."""
    data = bytearray(content)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None or len(data) < 10:
        return flipped(content, rng)
    start = struct.unpack_from(order + "I", data, 4)[0]
    if start + 14 > len(data):
        return flipped(content, rng)
    count = struct.unpack_from(order + "H", data, start)[0]
    at = start + 2 + 12 * rng.randrange(max(1, count))
    if at + 12 > len(data):
        return flipped(content, rng)
    where, kind = rng.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I"), (8, "H"), (8, "H")))
    values = (
        *NUMBERS,
        *(254, 256, 257, 258, 259, 262, 273, 274, 277, 279, 282, 284, 317, 320, 322, 324, 330, 338, 339, 34675),
    )
    struct.pack_into(order + kind, data, at + where, rng.choice(values) % 256 ** struct.calcsize(kind))
    return bytes(data)


def chunked(content: bytes, rng: random.Random) -> bytes:
    """A chunk of a PNG is damaged, missing or there twice, and its sum is right."""
    if content[:4] != b"\x89PNG":
        return flipped(content, rng)
    chunks, at = [], 8
    while at + 12 <= len(content):
        length = struct.unpack_from(">I", content, at)[0]
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    number = rng.randrange(len(chunks))
    kind, body = chunks[number]
    what = rng.randrange(4)
    if what == 0:
        chunks.pop(number)
    elif what == 1:
        chunks.insert(rng.randrange(len(chunks)), (kind, body))
    else:
        damaged = body[: rng.randrange(len(body) + 1)] if what == 2 else numbered(body, rng)
        chunks[number] = (rng.choice((kind, kind, b"PLTE", b"tRNS", b"eXIf", b"gAMA", b"acTL", b"iCCP")), damaged)
    sums = [(kind, body, struct.pack(">I", zlib.crc32(kind + body))) for kind, body in chunks]
    return content[:8] + b"".join(struct.pack(">I", len(body)) + kind + body + total for kind, body, total in sums)


def worded(content: bytes, rng: random.Random) -> bytes:
    """A word or a number of a text is another one, missing, or there very often."""
    found = list(re.finditer(rb"[\w.+-]+|[^\w\s]", content[:20_000]))
    if not found:
        return flipped(content, rng)
    for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 2, 5)))), key=lambda m: -m.start()):
        word = rng.choice((*WORDS, match[0] * 2, match[0] * 2000, rng.choice(found)[0]))
        content = content[: match.start()] + word + content[match.end() :]
    return content


def keyed(content: bytes, rng: random.Random) -> bytes:
    """A value of a JSON is another one, missing, doubled, or lies deeper."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):  # it was damaged before
        return worded(content, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        document = _changed(document, rng)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _changed(document: Any, rng: random.Random) -> Any:
    places: list[tuple[Any, Any]] = []
    found = [document]
    while found and len(places) < 5000:
        node = found.pop()
        inner = (
            list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
        )
        places += [(node, key) for key, _ in inner]
        found += [value for _, value in inner]
    if not places or rng.random() < 0.03:
        return rng.choice(VALUES)
    # those near the top are few, and the ones that programs rely on
    node, key = places[min(rng.randrange(len(places)), rng.randrange(len(places)), rng.randrange(len(places)))]
    what = rng.randrange(6)
    if what == 0:
        del node[key]
    elif what == 1:
        node[key] = [node[key]] if rng.random() < 0.5 else {"a": node[key]}
    elif what == 2 and isinstance(node, dict):
        node[rng.choice(("a", "", "type", "name", f"{key}s"))] = node.pop(key)
    elif what == 3 and isinstance(node, list):
        node.insert(key, rng.choice((node[key], rng.choice(VALUES))))
    else:
        node[key] = rng.choice(VALUES)
    return document


def deepened(content: bytes, rng: random.Random) -> bytes:
    """A text of brackets around it, or in it."""
    count = rng.choice((10, 500, 1500, 100_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return opening * count + (content + closing * count if rng.random() < 0.7 else b"")


def zipped(content: bytes, rng: random.Random, inner: Damage = flipped) -> bytes:
    """A member of a zip is damaged, missing, or called otherwise; the zip is sound."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
    except Exception:  # no zip any more
        return flipped(content, rng)
    if not members:
        return flipped(content, rng)
    number = rng.randrange(len(members))
    name, body = members[number]
    what = rng.randrange(6)
    if what == 0:
        members.pop(number)
    elif what == 1:
        members[number] = (
            rng.choice(("../a", "/a", "a", name + "/a", name.upper(), "x" * 300, name.rpartition("/")[0] or "b")),
            body,
        )
    else:
        damage = keyed if name.endswith((".json", ".yaml")) else inner
        members[number] = (name, damage(body, rng))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for each, body in members:
            archive.writestr(each, body)
    return file.getvalue()


def digest_of(content: bytes) -> bytes:
    """What lies beside an archive as its SHA-256."""
    return hashlib.sha256(content).hexdigest().encode()


PLAIN: tuple[Damage, ...] = (flipped, headed, numbered, cut, overwritten, shifted)
