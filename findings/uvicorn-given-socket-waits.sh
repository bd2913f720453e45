#!/usr/bin/env bash
# uvicorn.Server.run(sockets=[...]) with a socket of socket.create_server, on Linux.
#
# Expected: the same answers in the same time as with uvicorn's own socket (port=0).
# Seen (uvicorn 0.54.0, CPython 3.11): from the second dozen of requests of a connection on, each answer comes 40 ms late.
# asyncio sets TCP_NODELAY on a connection only where the socket's protocol says IPPROTO_TCP, and that of create_server is 0;
# uvicorn writes an answer's head and body apart, so that the body waits for an acknowledgement, which Linux delays.
# What follows: set TCP_NODELAY on the socket that is handed over; connections take it from there.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "uvicorn==0.54.0"
cat > try.py <<'PY'
import http.client
import platform
import socket
import statistics
import sys
import threading
import time

import uvicorn

print("uvicorn", uvicorn.__version__, "Python", platform.python_version())


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    headers = [(b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(1000)})


def milliseconds(listener):
    """Median time of an answer, of those that come later on one connection."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="warning"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener] if listener else None}, daemon=True).start()
    while not server.started:
        time.sleep(0.02)
    address = (listener or server.servers[0].sockets[0]).getsockname()
    connection, times = http.client.HTTPConnection("127.0.0.1", address[1]), []
    for _ in range(60):
        start = time.perf_counter()
        connection.request("GET", "/")
        connection.getresponse().read()
        times.append(1000 * (time.perf_counter() - start))
    connection.close()
    server.should_exit = True
    return statistics.median(times[30:])


without_delay = socket.create_server(("127.0.0.1", 0))
without_delay.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
found = {
    "uvicorn's own socket": milliseconds(None),
    "socket.create_server": milliseconds(socket.create_server(("127.0.0.1", 0))),
    "the same with TCP_NODELAY": milliseconds(without_delay),
}
for name, time_ms in found.items():
    print(f"{name}: {time_ms:.1f} ms")
own, given, mended = found.values()
sys.exit(0 if given > 30 and given > 3 * max(own, mended) else 1)
PY
env/bin/python try.py
