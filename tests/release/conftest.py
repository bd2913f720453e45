import json
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from coseg_bundle.networks.weights_file import sha256
from coseg_bundle.release.archive import NAME, build

ROOT = Path(__file__).parents[2]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture
def serve():
    """Serves a folder on loopback; returns its address."""
    servers = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


@pytest.fixture
def repack(archive, tmp_path):
    """The archive with some of its files replaced (None: left out), its checksum beside it."""

    def write(changes: dict[str, bytes | None]) -> Path:
        path = tmp_path / archive.name
        changes = {f"{NAME}/{name}" if not name.startswith("..") else name: data for name, data in changes.items()}
        with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
            for name in [*old.namelist(), *(name for name in changes if name not in old.namelist())]:
                data = changes[name] if name in changes else old.read(name)
                if data is not None:
                    new.writestr(name, data)
        path.with_suffix(".zip.sha256").write_text(f"{sha256(path)}  {path.name}\n")
        return path

    return write


@pytest.fixture
def metadata():
    return json.loads((ROOT / "configs" / "metadata.json").read_text())
