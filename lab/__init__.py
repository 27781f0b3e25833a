"""Six systemd machines on one computer: real init, real SSH, real package manager, no hypervisor.

Each node is a systemd-nspawn machine booted from one shared Debian root file system with an overlay
of its own, on a bridge with addresses of its own behind NAT. What the lab makes is marked as its
own (the bridge's alias, the tables' comment, the machines' command lines) and it touches nothing
without that mark. State is read from the kernel, never from a file that could have gone stale.

`lifecycle` is where to start; `inside` runs commands in a node, `links` cuts and heals the network.
"""

from lab.errors import LabError
from lab.inside import Completed, logs, run_in, shell, stream_in
from lab.lifecycle import boot, clean, down, kill, reset, up
from lab.links import cut, heal
from lab.requirements import install_requirements, missing_requirements
from lab.rootfs import discard_cache
from lab.status import NodeStatus, status

__all__ = [
    "Completed",
    "LabError",
    "NodeStatus",
    "boot",
    "clean",
    "cut",
    "discard_cache",
    "down",
    "heal",
    "install_requirements",
    "kill",
    "logs",
    "missing_requirements",
    "reset",
    "run_in",
    "shell",
    "status",
    "stream_in",
    "up",
]
