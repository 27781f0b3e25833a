"""Cut cables: one node from all, two from each other; nodes cannot undo it, reboots do not."""

import time
from subprocess import PIPE, Popen

import pytest

import lab
from inventory.home import Home
from inventory.model import Federation, Node
from lab.errors import LabError
from lab.inside import enter
from lab.status import answers_ssh


def reaches(federation: Federation, home: Home, source: Node, target: Node) -> bool:
    """Whether `source` gets an answer from `target`'s SSH port."""
    code = f"import socket; socket.create_connection(('{target.address}', 22), 2).recv(1)"
    return lab.run_in(federation, home, source, ["python3", "-c", code]).exit_code == 0


def comes_back(node: Node) -> bool:
    """Whether the node answers within a few seconds (neighbours are asked for again)."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if answers_ssh(node):
            return True
    return False


def test_a_cut_pair_keeps_everyone_else(running: Federation, home: Home) -> None:
    alpha, beta = running.nodes
    assert reaches(running, home, alpha, beta)
    lab.cut(running, home, alpha, beta)
    assert not reaches(running, home, alpha, beta)
    assert not reaches(running, home, beta, alpha)
    assert answers_ssh(alpha)
    assert answers_ssh(beta)
    assert [s.cut for s in lab.status(running, home)] == [("alpha-beta",), ("alpha-beta",)]
    lab.heal(running, home, beta, alpha)
    assert reaches(running, home, alpha, beta)


def test_a_cut_node_is_off_even_after_a_reboot(running: Federation, home: Home) -> None:
    alpha, beta = running.nodes
    lab.cut(running, home, beta)
    assert not answers_ssh(beta)
    assert not reaches(running, home, beta, alpha)
    lab.kill(running, home, [beta])
    begun = time.monotonic()
    lab.boot(running, home, [beta])
    assert time.monotonic() - begun < 90
    assert not answers_ssh(beta)
    lab.up(running, home)
    assert not answers_ssh(beta)
    lab.heal(running, home, beta)
    assert comes_back(beta)


def test_an_established_connection_is_cut_too(running: Federation, home: Home) -> None:
    alpha, beta = running.nodes
    code = (
        f"import socket, sys; s = socket.create_connection(('{beta.address}', 22), 3); s.recv(99)\n"
        "print('open', flush=True); sys.stdin.readline(); s.sendall(b'SSH-2.0-test\\r\\n')\n"
        "s.settimeout(2)\n"
        "try:\n    print(len(s.recv(99)))\nexcept TimeoutError:\n    print('cut')\n"
    )
    argv = enter(running, home, alpha, ["python3", "-c", code])
    with Popen(argv, stdin=PIPE, stdout=PIPE, text=True) as peer:
        assert peer.stdout is not None
        assert peer.stdout.readline() == "open\n"
        lab.cut(running, home, alpha, beta)
        out, _ = peer.communicate("go\n", timeout=60)
    assert out == "cut\n"


def test_a_node_cannot_be_cut_from_itself(running: Federation, home: Home) -> None:
    alpha = running.nodes[0]
    with pytest.raises(LabError, match="itself"):
        lab.cut(running, home, alpha, alpha)
