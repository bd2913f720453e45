"""The command itself, in a process of its own, on the loopback."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'coseg-bundle[view]'")

from coseg_bundle.engine.choice import EngineError
from coseg_bundle.view.server import ViewerMissingError, serve, service_maker


def test_the_printed_address_answers_and_no_other(folder):
    command = [sys.executable, "-m", "coseg_bundle.cli", "view", "--no-browser", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().split()[0]
            assert address.startswith("http://127.0.0.1:")
            token = address.rstrip("/").rpartition("/")[2]
            assert len(token) >= 32
            with urllib.request.urlopen(address + "results.json", timeout=60) as answer:
                assert answer.read() == b'[{"name":"slide.tif","kind":"slide"}]'
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(address.replace(token, "guess"), timeout=60)
        finally:
            server.terminate()


def test_no_server_is_installed(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ViewerMissingError, match=r"coseg view needs uvicorn: pip install 'coseg-bundle\[view\]'"):
        serve([result], None, browser=False)


def test_a_port_that_is_taken(result):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve([result], None, port=taken.getsockname()[1], browser=False)


def test_the_browser_is_opened_at_the_address(result, monkeypatch):
    import uvicorn

    opened, told = [], []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    serve([result], None, told=told.append)
    assert opened == told
    assert opened[0].endswith("/")


def test_answers_do_not_wait_for_an_acknowledgement(result, monkeypatch):
    import socket

    import uvicorn

    def accepted(self, sockets):
        with socket.create_connection(sockets[0].getsockname()), sockets[0].accept()[0] as connection:
            found.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    found = []
    monkeypatch.setattr(uvicorn.Server, "run", accepted)
    serve([result], None, browser=False)
    assert found[0]


def test_the_weights_that_are_named_answer_and_no_newer_ones_beside_them(bundle_root, tmp_path, monkeypatch):
    """In STUDIES/coseg/weights/ the last version answered, whichever was named."""
    served = []
    monkeypatch.setattr(
        "coseg_bundle.service.segmentation.SegmentationService",
        lambda root, weights, *of, **options: served.append(weights.candidates()),
    )
    for name in ("coseg_v001.pt", "coseg_v002.pt"):
        (tmp_path / name).touch()
    service_maker(bundle_root, tmp_path / "coseg_v001.pt", "cpu", None)()
    assert served == [[tmp_path / "coseg_v001.pt"]]


def test_answers_of_the_network_need_pytorch(monkeypatch):
    monkeypatch.setattr("coseg_bundle.engine.choice.find_spec", lambda name: None)
    with pytest.raises(EngineError, match="needs torch, which is not installed"):
        service_maker(None, None, None, None)()
