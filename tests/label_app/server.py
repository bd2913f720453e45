"""A real server in a process of its own, on the loopback, with every other address blocked."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import requests

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Server:
    """Starts on entry, answers when the block begins, is ended on exit.

    Args:
        studies: Folder of the images.
        folder: For the log.
        conf: Options of the application.
    """

    def __init__(self, studies: Path, folder: Path, conf: dict[str, str] | None = None) -> None:
        self.studies, self.folder = studies, folder
        self.conf = {"models": "coseg", "device": "cpu", **(conf or {})}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        options = [part for name, value in self.conf.items() for part in ("--conf", name, value)]
        command = [sys.executable, "-m", "monailabel.main", "start_server", "--host", "127.0.0.1"]
        command += ["--app", str(ROOT / "coseg_bundle" / "label_app"), "--studies", str(self.studies)]
        path = os.pathsep.join(
            [str(HERE / "offline"), str(ROOT / "tests" / "helpers"), str(ROOT), os.environ.get("PYTHONPATH", "")]
        )
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "no_proxy": "127.0.0.1"}
        self.log = self.folder / "server.log"
        start = time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port), *options],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait(120)
        self.start_seconds = time.perf_counter() - start
        times = psutil.Process(self.process.pid).cpu_times()
        self.start_cpu_seconds = times.user + times.system
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"The server ended:\n{self.log.read_text()[-3000:]}")
            try:
                requests.get(f"{self.url}/info/", timeout=30)
                return
            except requests.ConnectionError:
                time.sleep(0.2)
        self.process.kill()
        raise RuntimeError(f"The server did not answer in {seconds} s:\n{self.log.read_text()[-3000:]}")

    def memory_mb(self) -> float:
        """Memory that the process holds."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 1e6)
