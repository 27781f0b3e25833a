"""Which of the sockets a process is given it uses, and what becomes of the others."""

import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.sockets import Inherited, name_of, place_of
from inventory.notify import Notifier

HERE = ip_address("127.0.0.1")


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_what_the_settings_name_is_taken_and_the_rest_is_bound() -> None:
    given = listening()
    port = place_of(given)[1]
    inherited = Inherited([given])
    other = ip_address("127.0.0.2")
    taken, bound = inherited.open([HERE, other], port)
    assert taken is given and not taken.getblocking()
    assert place_of(bound) == (other, port)
    assert len(inherited) == 0
    taken.close()
    bound.close()


def test_without_a_port_the_kernel_chooses_one_for_all_addresses() -> None:
    sockets = Inherited([]).open([HERE, ip_address("127.0.0.2")], 0)
    ports = {place_of(one)[1] for one in sockets}
    assert len(ports) == 1 and ports != {0}
    for one in sockets:
        one.close()


def test_what_nobody_takes_is_closed_and_forgotten(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        given = listening()
        name = name_of(place_of(given))
        inherited = Inherited([given])
        inherited.close(Notifier({"NOTIFY_SOCKET": systemd.getsockname()}))
        assert systemd.recv(4096).decode() == f"FDSTOREREMOVE=1\nFDNAME={name}"
    assert given.fileno() == -1 and len(inherited) == 0


@pytest.mark.parametrize(
    "announced",
    [
        {},
        {"LISTEN_FDS": "2", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "2"},
        {"LISTEN_FDS": "many", "LISTEN_PID": "77"},
    ],
)
def test_what_is_not_meant_for_us_is_left_alone_and_not_passed_on(
    announced: dict[str, str],
) -> None:
    environment = {**announced, "HOME": "/"}
    assert len(Inherited.from_environment(environment, 77)) == 0
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    ("address", "name"),
    [("10.0.0.1", "10.0.0.1-8443"), ("fd00::1", "fd00..1-8443")],
)
def test_a_name_has_no_colon(address: str, name: str) -> None:
    assert name_of((ip_address(address), 8443)) == name
