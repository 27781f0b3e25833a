"""Last of all: the fleet goes, and leaves nothing on this computer but its disks."""

import subprocess
from pathlib import Path

from tests.support.fleet import Fleet


def test_down_leaves_nothing_behind(fleet: Fleet) -> None:
    """Last on purpose: machines, network and mounts go, what the machines hold stays."""
    fleet.fedctl("lab", "down")
    processes = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
    assert str(fleet.home.lab) not in processes
    assert str(fleet.home.lab) not in Path("/proc/mounts").read_text()
    links = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True).stdout
    assert str(fleet.federation.network.operator_addresses[0]) not in links
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    assert fleet.federation.name not in tables
