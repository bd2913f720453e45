import ipaddress
import socket
import subprocess
import sys

import psutil
import pytest

OUTSIDE = "192.0.2.1"  # reserved for documentation: nobody has this address


def test_no_test_reaches_another_machine():
    with pytest.raises(OSError, match=f"a test wanted to reach '{OUTSIDE}'"):
        socket.create_connection((OUTSIDE, 80), timeout=1)
    with pytest.raises(OSError, match=r"a test wanted to reach 'example\.org'"):
        socket.getaddrinfo("example.org", 443)
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with datagram, pytest.raises(OSError, match="a test wanted to reach"):
        datagram.sendto(b"", (OUTSIDE, 80))


def test_nor_does_a_process_that_a_test_starts():
    code = f"import socket; socket.create_connection(('{OUTSIDE}', 80), timeout=1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert f"a test wanted to reach '{OUTSIDE}'" in done.stderr


def own_addresses():
    """The addresses of this machine's interfaces; those of a link alone need its name too, and are left out."""
    families = (socket.AF_INET, socket.AF_INET6)
    entries = [entry for entries in psutil.net_if_addrs().values() for entry in entries if entry.family in families]
    return sorted({entry.address for entry in entries if "%" not in entry.address} | {"127.0.0.1"})


@pytest.mark.parametrize("address", own_addresses())
def test_this_machine_is_reached(address):
    """By each of its addresses: the processes of a local Ray cluster take the one that other machines would see."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        socket.create_connection(server.getsockname()[:2], timeout=5).close()


def test_neighbours_of_this_machine_are_outside():
    own = own_addresses()
    addresses = [ipaddress.ip_address(address) for address in own]
    for address in (str(type(one)(int(one) ^ 1)) for one in addresses if not one.is_loopback):
        if address not in own:
            with pytest.raises(OSError, match="a test wanted to reach"):
                socket.create_connection((address, 80), timeout=1)


def test_import_construction_and_prediction_need_no_socket():
    """In a process of its own that cannot open any, not even to itself."""
    code = """
import socket

class NoSocket(socket.socket):
    def __init__(self, *arguments, **keywords):
        raise RuntimeError("a socket was opened")

socket.socket = NoSocket
import numpy as np
from coseg_bundle.inferers import Predictor

predictor = Predictor.from_bundle(device="cpu", tile_size=64)
prediction = predictor.predict(np.full((64, 64, 3), 200, np.uint8))
print(prediction.instance_map.shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["(64,", "64)"]
