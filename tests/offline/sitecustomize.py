"""No connection leaves this machine.

Python runs this file at its start where it is on PYTHONPATH, and so in every process that a test starts;
tests/conftest.py runs it in the test process itself.
"""

import ipaddress
import socket

_connect, _connect_ex, _sendto, _getaddrinfo = (
    socket.socket.connect,
    socket.socket.connect_ex,
    socket.socket.sendto,
    socket.getaddrinfo,
)


class OutsideConnectionError(OSError):
    """A test wanted to reach another machine."""


def check(host):
    """Raises unless `host` is this machine."""
    name = host.decode() if isinstance(host, bytes) else host
    try:
        local = name in (None, "", "localhost", socket.gethostname()) or ipaddress.ip_address(name).is_loopback
    except ValueError:
        local = False
    if not (local or name == "0.0.0.0"):
        raise OutsideConnectionError(f"a test wanted to reach {name!r}")


def _guarded(call):
    def guarded(self, *arguments):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            check(arguments[-1][0])
        return call(self, *arguments)

    return guarded


def _looked_up(host, *arguments, **keywords):
    check(host)
    return _getaddrinfo(host, *arguments, **keywords)


socket.socket.connect = _guarded(_connect)
socket.socket.connect_ex = _guarded(_connect_ex)
socket.socket.sendto = _guarded(_sendto)
socket.getaddrinfo = _looked_up
