"""What commands use of `lab/`, in one place."""

from lab import (
    boot,
    clean,
    cut,
    down,
    heal,
    install_requirements,
    kill,
    logs,
    missing_requirements,
    reset,
    run_in,
    shell,
    status,
    up,
)
from lab.identity import pin_host_keys
from lab.inside import stream_in
from lab.rootfs import discard_cache

__all__ = [
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
    "pin_host_keys",
    "reset",
    "run_in",
    "shell",
    "status",
    "stream_in",
    "up",
]
