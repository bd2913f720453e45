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
    """Raises unless `host` is this machine: by name, or by an address that one of its interfaces has."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", socket.gethostname()):
        return
    try:
        local = _is_own(ipaddress.ip_address(name))
    except ValueError:  # the name of another machine
        local = False
    if not local:
        raise OutsideConnectionError(f"a test wanted to reach {name!r}")


def _is_own(address):
    """Whether the way to an address stays in this machine: then the system takes that address as the sender's too.

    Connecting a datagram socket looks up the way and sends nothing.
    """
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            _connect(probe, (str(address), 9))
            return ipaddress.ip_address(probe.getsockname()[0]) == address
    except OSError:  # no way there at all
        return False


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
