"""Ports for servers that tests start, stop and start again: nobody else is given them meanwhile.

A port that the kernel chooses (port 0) is one of those it also gives to outgoing connections: once
a test has stopped its server, a client that tries to come back may be given that very port for its
own end, and even talk to itself. Those below the range have no such second use.
"""

import os
import random
import socket
from pathlib import Path

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST, USUAL_END = 12_000, 32_768
# Workers of one run share nothing but the machine: each has every n-th port for itself.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_given: set[int] = set()


def free_port() -> int:
    """A loopback port nobody listens on, which the kernel gives to no client; never one twice."""
    end = USUAL_END
    if OUTGOING.exists():
        end = int(OUTGOING.read_text().split()[0])
    # A machine whose clients may have any port leaves nothing better than a range of our own.
    last = end - 1 if end > FIRST + 1000 else USUAL_END - 1
    chance = random.SystemRandom()  # several runs of tests at once begin in different places
    while True:
        port = chance.randint(FIRST, last)
        if port % WORKERS != WORKER % WORKERS or port in _given:
            continue
        _given.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
