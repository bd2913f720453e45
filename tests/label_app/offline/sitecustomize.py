"""Put on PYTHONPATH, this lets a process talk to the machine itself and to nobody else."""

import ipaddress
import socket

_connect = socket.socket.connect
_getaddrinfo = socket.getaddrinfo


def _is_local(host):
    if host in ("localhost", "", None):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def connect(self, address):
    if self.family != socket.AF_UNIX and not _is_local(address[0]):
        raise OSError(f"blocked: {address}")
    return _connect(self, address)


def getaddrinfo(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else host
    if not _is_local(name):
        raise socket.gaierror(f"blocked: {name}")
    return _getaddrinfo(host, *args, **kwargs)


socket.socket.connect = connect
socket.getaddrinfo = getaddrinfo
