"""Who may ask the server, and which names a request may use: checked before anything is read or written."""

from __future__ import annotations

import hmac
import ipaddress
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NAME_FIELDS = ("image", "images", "image_id", "label", "label_id", "label_tag", "tag", "id")
"""Fields of a request that name something in the datastore."""

_MAX_NAME_BYTES = 200
_DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{i}" for name in ("com", "lpt") for i in range(1, 10))}
_FOLDERS = re.compile(r"(?<![\w./:])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\"]+[/\\])+")


class DatastoreNameError(ValueError):
    """A name that cannot be one of the datastore's."""


def plain_name(value: Any, what: str) -> str:
    """A name without a folder, as files of a datastore have it.

    Raises:
        DatastoreNameError: It is empty, too long, hidden, a device's, or has a separator or a control character in it.
    """
    name = value if isinstance(value, str) else ""
    amiss = (
        not name
        or name != name.strip()
        or name.startswith(".")
        or any(c in '/\\:*?"<>|' or not c.isprintable() for c in name)
        or name.split(".")[0].lower() in _DEVICES
        or len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES
    )
    if amiss:
        raise DatastoreNameError(
            f"Expected {what} to be a name of the datastore: 1 to {_MAX_NAME_BYTES} bytes, without a folder, no dot in "
            "front."
        )
    return name


def check_names(fields: Any, depth: int = 8) -> None:
    """Checks every field of a request that names something, in nested objects as well.

    Raises:
        DatastoreNameError: One is no plain name, or the request asks for a bundle of its own.
    """
    if isinstance(fields, Mapping) and depth:
        if "bundle_path" in fields:
            raise DatastoreNameError("A request cannot choose the bundle; start the server with --conf bundle FOLDER.")
        for name, value in fields.items():
            if name not in NAME_FIELDS:
                check_names(value, depth - 1)
            elif name != "images" or not isinstance(value, str) or value not in ("all", "labeled", "unlabeled"):
                for item in value if isinstance(value, list) else [value]:
                    plain_name(item, str(name))


def file_inside(path: str | Path, folder: str | Path) -> Path | None:
    """The file that a path leads to: a regular one in a folder, links followed; None where it is not."""
    try:
        real = Path(path).resolve(strict=True)
        regular = stat.S_ISREG(real.stat().st_mode)
    except (OSError, ValueError, RuntimeError):
        return None
    return real if regular and real.is_relative_to(Path(folder).resolve()) else None


def without_folders(text: str) -> str:
    """A sentence for a client: file names stay, the folders in front of them go."""
    return _FOLDERS.sub("", " ".join(text.split()))


@dataclass(frozen=True)
class Access:
    """Who is answered.

    Attributes:
        hosts: Names and addresses (without port) that the server is known by besides the loopback; `*` is any.
        origins: Web pages that may ask, as `https://host[:port]`.
        token: What a client must send, in `Authorization: Bearer TOKEN`, or in front of the path: `/token/TOKEN`.
        let_host: What to do so that another name is answered.
        let_origin: What to do so that other pages are answered.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    token: str | None = None
    let_host: str = "start it with --conf allowed_hosts NAME to let it"
    let_origin: str = "start the server with --conf allowed_origins ORIGIN"

    @classmethod
    def of(cls, conf: Mapping[str, str]) -> Access:
        """Reads `allowed_hosts`, `allowed_origins` (commas between), `token` or `token_file`.

        Raises:
            ValueError: The token is too short, or has characters that no header can hold.
        """
        token = conf.get("token")
        if conf.get("token_file"):
            try:
                token = Path(conf["token_file"]).read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"Expected the token in {conf['token_file']}, which cannot be read ({error})."
                ) from error
        if token is not None and not re.fullmatch(r"[A-Za-z0-9._~-]{8,}", token):
            raise ValueError("Expected a token of 8 or more letters, digits, or any of . _ ~ -; it goes into URLs.")
        return cls(_listed(conf, "allowed_hosts"), _listed(conf, "allowed_origins"), token)

    def refusal(self, host: str, origin: str | None, local: str | None, scheme: str) -> str | None:
        """Why a request is refused, or None.

        Args:
            host: Its `Host` header.
            origin: Its `Origin` header.
            local: The server's own address that it came to.
            scheme: `http` or `https`.
        """
        name = _name_of(host)
        at_home = name is not None and _is_loopback(name) and local is not None and _is_loopback(local)
        if not at_home and name not in self.hosts and "*" not in self.hosts:
            return f"This server does not go by the name {host[:60]!r}; {self.let_host}."
        if origin is not None and origin.lower() not in {f"{scheme}://{host}".lower(), *self.origins}:
            return f"Pages of {origin[:60]!r} may not ask; {self.let_origin}."
        return None

    def knows(self, given: str) -> bool:
        """Whether a token is the right one, in constant time."""
        return self.token is None or hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


def _listed(conf: Mapping[str, str], name: str) -> frozenset[str]:
    return frozenset(part.strip().lower().rstrip("/") for part in conf.get(name, "").split(",") if part.strip())


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname if host and not re.search(r"[/@?#\s]", host) else None
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
