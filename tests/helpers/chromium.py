"""Debian's Chromium, driven through the pipe that it offers: no driver and no package beside the browser itself."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """The browser, if there is one; `COSEG_CHROMIUM` names another one."""
    return os.environ.get("COSEG_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """A window without a screen.

    Args:
        profile: An empty folder for what the browser keeps.
        width: Of the window, px.
        height: Of the window, px.
    """

    def __init__(self, profile: Path, width: int = 1360, height: int = 820) -> None:
        self.profile, self.size = profile, (width, height)
        self.number, self.buffer, self.messages = 0, b"", []

    def __enter__(self) -> Chromium:
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
        options += ["--disable-background-networking", "--disable-component-update", "--disable-extensions"]
        options += [
            "--disable-dev-shm-usage",
            "--no-zygote",
            "--renderer-process-limit=1",
            "--disable-sync",
            f"--window-size={self.size[0]},{self.size[1]}",
            "--hide-scrollbars",
        ]
        command = [find(), *options, f"--user-data-dir={self.profile}", "about:blank"]
        script = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        self.log = (self.profile.parent / "chromium.log").open("wb")
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", str(to_read), str(to_write), *map(str, command)],
            pass_fds=(to_read, to_write),
            stdout=self.log,
            stderr=self.log,
            env={**os.environ, "PYTHONPATH": ""},
        )
        os.close(to_read)
        os.close(to_write)
        self.session: str | None = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")
        width, height = self.size
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.to)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        os.close(self.back)
        self.log.close()

    def ask(self, method: str, seconds: float = 600, **parameters: Any) -> dict[str, Any]:
        """Sends a command of the DevTools protocol and gives its answer."""
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.messages.append(answer)
            if answer.get("method") == "Page.javascriptDialogOpening":  # nothing goes on before it is answered
                self._agree()
        raise TimeoutError(method)

    def _agree(self) -> None:
        self.number += 1
        message = {"id": self.number, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
        os.write(self.to, json.dumps({**message, "sessionId": self.session}).encode() + b"\0")

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            part = os.read(self.back, 1 << 20)
            if not part:
                raise RuntimeError("the browser ended")
            self.buffer += part
        one, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(one)

    def open(self, address: str) -> None:
        self.ask("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"].get("exception", answer))[:2000])
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 120) -> None:
        """Waits until an expression is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if self.run(f"!!({script})"):  # an element has no value of its own
                    return
            except RuntimeError:
                pass
            time.sleep(0.1)
        raise TimeoutError(f"{script}; the page says: {self.run('document.body.innerText')[:500]}; {self.complaints()}")

    def complaints(self) -> list[str]:
        """What the page logged as errors."""
        self.run("1")
        found = []
        for message in self.messages:
            if message.get("method") == "Runtime.exceptionThrown":
                found.append(str(message["params"]["exceptionDetails"].get("exception", {}).get("description")))
            elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                found.append(message["params"]["entry"]["text"] + " " + message["params"]["entry"].get("url", ""))
        return found

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        held = {"mousePressed": 1, "mouseReleased": 0}.get(kind, more.pop("held", 0))
        button = "left" if kind != "mouseMoved" or held else "none"
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, buttons=held, button=button, **more)

    def click(self, x: float, y: float) -> None:
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, clickCount=1)
        self.mouse("mouseReleased", x, y, clickCount=1)

    def click_on(self, selector: str) -> None:
        """Clicks in the middle of an element."""
        script = f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect(); "
        self.click(*self.run(script + "return [b.x + b.width / 2, b.y + b.height / 2]; })()"))

    def drag(self, points: list[tuple[float, float]]) -> None:
        """Presses at the first point, moves through the others, and lets go at the last."""
        self.mouse("mouseMoved", *points[0])
        self.mouse("mousePressed", *points[0], clickCount=1)
        for point in points[1:]:
            self.mouse("mouseMoved", *point, held=1)
        self.mouse("mouseReleased", *points[-1], clickCount=1)

    def wheel(self, x: float, y: float, delta: float) -> None:
        """Turns the wheel over whatever lies at a point. The protocol's own event is never answered without a GPU."""
        event = (
            f"new WheelEvent('wheel', {{clientX: {x}, clientY: {y}, deltaY: {delta}, bubbles: true, cancelable: true}})"
        )
        self.run(f"document.elementFromPoint({x}, {y}).dispatchEvent({event})")

    def key(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" and len(key) == 1 else ""
            )

    def picture(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))
        return path
