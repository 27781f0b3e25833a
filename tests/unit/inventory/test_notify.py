"""sd_notify, against a real datagram socket."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory.notify import Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(2)
        yield listener


def test_ready_and_stopping_reach_systemd(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname()})
    notifier.ready("serving")
    assert systemd.recv(4096) == b"READY=1\nSTATUS=serving"
    notifier.stopping("draining")
    assert systemd.recv(4096) == b"STOPPING=1\nSTATUS=draining"


def test_systemd_gets_a_copy_of_what_it_shall_keep(systemd: socket.socket, tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname()})
    with (tmp_path / "kept").open("w+") as kept:
        kept.write("hello")
        kept.flush()
        notifier.keep("here-1", kept.fileno())
    message, copies, _, _ = socket.recv_fds(systemd, 4096, 4)
    assert message == b"FDSTORE=1\nFDNAME=here-1\nFDPOLL=0"
    assert [os.pread(copy, 10, 0) for copy in copies] == [b"hello"]
    os.close(copies[0])
    notifier.forget("here-1")
    assert systemd.recv(4096) == b"FDSTOREREMOVE=1\nFDNAME=here-1"


def test_an_abstract_socket_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"federation-test-notify-{os.getpid()}"
        listener.bind(f"\0{name}")
        listener.settimeout(2)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).send("X=1")
        assert listener.recv(64) == b"X=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_systemd_nothing_happens(environment: dict[str, str]) -> None:
    Notifier(environment).ready("serving")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_only_when_systemd_says_so(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert Notifier(environment, process_id=7).watchdog_seconds == seconds


async def test_the_loop_pings_only_while_healthy(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "30000"})
    states = [True, False, True]
    task = asyncio.create_task(notifier.keep_watchdog(lambda: bool(states and states.pop(0))))
    while states:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    systemd.setblocking(False)
    assert [systemd.recv(64), systemd.recv(64)] == [b"WATCHDOG=1"] * 2
    with pytest.raises(BlockingIOError):
        systemd.recv(64)


async def test_no_watchdog_no_task() -> None:
    await asyncio.wait_for(Notifier({}).keep_watchdog(), 1)
