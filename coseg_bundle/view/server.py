"""Starts the server, tells the address, opens the browser."""

from __future__ import annotations

import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from coseg_bundle.bundle_root import WEIGHTS, find_bundle_root
from coseg_bundle.engine.choice import choose_engine
from coseg_bundle.view.desk import Desk
from coseg_bundle.view.results import Result

if TYPE_CHECKING:
    from coseg_bundle.service.segmentation import SegmentationService


class ViewerMissingError(ValueError):
    """What the server needs is not installed."""


def service_maker(
    bundle: Path | None, weights: Path | None, device: str | None, precision: str | None
) -> Callable[[], SegmentationService]:
    """What makes the annotation service when it is first needed: loading a network takes seconds."""
    lock = threading.Lock()

    @lru_cache(1)
    def make() -> SegmentationService:
        choose_engine("torch")  # onnxruntime has the network as a whole; what was drawn begins inside of it
        from coseg_bundle.service.segmentation import SegmentationService
        from coseg_bundle.service.weights import WeightsFolder

        root = find_bundle_root(bundle)
        initial = weights or root / WEIGHTS
        return SegmentationService(root, WeightsFolder(None, initial), device, precision=precision)

    def once() -> SegmentationService:
        with lock:
            return make()

    return once


def serve(
    results: list[Result],
    service: Callable[[], SegmentationService] | None,
    host: str = "127.0.0.1",
    port: int = 0,
    allowed: tuple[str, ...] = (),
    browser: bool = True,
    told: Callable[[str], None] = print,
) -> None:
    """Serves until it is stopped.

    Args:
        results: What is shown.
        service: Makes what answers corrections.
        host: The address to listen at.
        port: 0 for any that is free.
        allowed: Further names that this machine is called by.
        browser: Whether to open one.
        told: Gets the address of the page.

    Raises:
        ViewerMissingError: starlette or uvicorn is not installed.
        OSError: The port is taken.
    """
    try:
        import uvicorn  # type: ignore[import-not-found, unused-ignore]

        from coseg_bundle.view.app import make_app
    except ImportError as error:
        raise ViewerMissingError(f"coseg view needs {error.name}: pip install 'coseg-bundle[view]'.") from error
    from coseg_bundle.web.access import Access

    token = secrets.token_urlsafe(24)
    access = Access(
        hosts=frozenset(name.lower() for name in allowed),
        let_host="start coseg view with --allow-host NAME to let it",
        let_origin="open the address that coseg view printed",
    )
    desks = [Desk(result, service) for result in results]
    app = make_app(desks, token, access)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
    )
    with socket.create_server((host, port)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else answers wait 40 ms for an acknowledgement
        name = "127.0.0.1" if host in ("0.0.0.0", "") else host
        address = f"http://{name}:{listener.getsockname()[1]}/{token}/"
        told(address)
        threading.Thread(target=desks[0].warm_up, daemon=True).start()  # while the browser starts
        if browser:
            webbrowser.open(address)
        uvicorn.Server(config).run(sockets=[listener])
