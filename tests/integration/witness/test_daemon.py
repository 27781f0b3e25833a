"""The witness as a process: C2SP tlog-witness over mutual TLS, a memory that survives kill -9."""

import json
import signal
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemons.witness.shell import STATE
from ledger.add_checkpoint import MAX_BYTES, SIZE_TYPE, Request
from ledger.note import Note, parse_signatures
from tests.support.postgres import Server
from tests.support.tlog import MemoryLog, log_key
from tests.support.witnesses import RunningWitness, make_witness, running
from trust.tls import client_context

pytestmark = pytest.mark.postgres
LOG = MemoryLog.of(40)
FORK = MemoryLog(LOG.key, [*LOG.bodies[:5], *MemoryLog.of(35, "other").bodies])


def asked(log: MemoryLog, old: int, new: int) -> Request:
    proof = tuple(log.consistency(old, new))
    return Request(old, proof, log.checkpoint(new).encode().encode())


def test_a_growing_log_is_cosigned_and_the_cosignature_is_good(witness: RunningWitness) -> None:
    for old, new in ((0, 7), (7, 7), (7, 30)):
        status, body, _ = witness.add(asked(LOG, old, new))
        assert status == 200
        [signature] = parse_signatures(body.decode())
        text = LOG.checkpoint(new).text
        assert witness.key.verifier.verifies(text, signature.signature)
    note = Note.parse(witness.ask("GET", "/checkpoint")[1])
    assert set(note.verified([LOG.key.verifier, witness.key.verifier])) == {
        LOG.key.verifier,
        witness.key.verifier,
    }
    assert (witness.memory["size"], witness.memory["generation"]) == (30, 3)


def test_nothing_is_to_be_had_before_the_first_checkpoint(witness: RunningWitness) -> None:
    assert witness.ask("GET", "/checkpoint")[0] == 404
    assert json.loads(witness.ask("GET", "/state")[1])["size"] == 0
    assert not (witness.state / STATE).exists()


def test_refusals_are_those_of_c2sp(witness: RunningWitness) -> None:
    assert witness.add(asked(LOG, 0, 20))[0] == 200
    status, body, kind = witness.add(asked(LOG, 0, 30))
    assert (status, body, kind) == (409, b"20\n", SIZE_TYPE)
    assert witness.add(asked(FORK, 20, 30))[0] == 422
    assert witness.add(asked(FORK, 20, 20))[0] == 409
    assert witness.add(Request(20, (), LOG.checkpoint(10).encode().encode()))[0] == 400
    forged = MemoryLog(log_key(9), LOG.bodies)
    assert witness.add(asked(forged, 20, 30))[0] == 403
    stranger = MemoryLog(log_key(1, "stranger.example/log"), LOG.bodies)
    assert witness.add(asked(stranger, 20, 30))[0] == 404
    for body in (b"", b"x", b"old 1\n\n", b"\xff" * 100):
        assert witness.ask("POST", "/add-checkpoint", body)[0] == 400
    assert witness.ask("POST", "/add-checkpoint", b"x" * (MAX_BYTES + 1))[0] == 413
    assert witness.memory["size"] == 20
    # The log lied twice: that is kept, whole, once.
    kept = witness.evidence
    assert sorted(piece["found"] for piece in kept) == ["equivocation", "inconsistent"]
    shown = {piece["found"]: piece["shown"] for piece in kept}
    assert shown["equivocation"] == FORK.checkpoint(20).encode()
    assert all("20\n" in piece["cosigned_before"] for piece in kept)
    assert witness.add(asked(FORK, 20, 20))[0] == 409
    assert len(witness.evidence) == 2
    metrics = witness.ask("GET", "/metrics")[1].decode()
    assert 'witness_requests_total{result="equivocation"} 2.0' in metrics
    assert "witness_evidence 2.0" in metrics
    assert "witness_log_size 20.0" in metrics


def test_it_remembers_after_kill_9_and_after_being_stopped(witness: RunningWitness) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM):
        assert witness.add(asked(LOG, witness_memory(witness), 20))[0] == 200
        witness.stop(number)
        witness.start()
        assert witness.add(asked(LOG, 0, 30))[1] == b"20\n"
        assert witness.add(asked(FORK, 20, 30))[0] == 422


def witness_memory(witness: RunningWitness) -> int:
    size: int = json.loads(witness.ask("GET", "/state")[1])["size"]
    return size


def test_of_many_at_once_each_continues_the_one_before(witness: RunningWitness) -> None:
    """The race of the specification: a smaller checkpoint must not be written over a larger one."""
    barrier = threading.Barrier(8)

    def show(new: int) -> tuple[int, int]:
        barrier.wait()
        return new, witness.add(asked(LOG, 0, new))[0]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(show, range(10, 18)))
    [winner] = [new for new, status in answers if status == 200]
    assert {status for new, status in answers if new != winner} == {409}
    assert (witness.memory["size"], witness.memory["generation"]) == (winner, 1)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"x" * 1000, b'{"version": 1}'], ids=["empty", "bare", "noise", "cut"]
)
def test_a_damaged_memory_keeps_it_from_starting(
    database: Server, tmp_path: Path, content: bytes
) -> None:
    witness = make_witness(database, tmp_path / "w", "w", (LOG.key.verifier,))
    (witness.state / STATE).write_bytes(content)
    # Exit code 78: the unit does not try again, and a person looks.
    with pytest.raises(RuntimeError, match=r"(?s)exit code 78.*not a witness's state"):
        witness.start()
    assert (witness.state / STATE).read_bytes() == content


def test_a_memory_of_another_log_keeps_it_from_starting(database: Server, tmp_path: Path) -> None:
    witness = make_witness(database, tmp_path / "w", "w", (LOG.key.verifier,))
    with running(witness):
        assert witness.add(asked(LOG, 0, 7))[0] == 200
    text = (witness.folder / "witness.toml").read_text()
    other = log_key(1, "other.example/log").verifier.text()
    (witness.folder / "witness.toml").write_text(text.replace(LOG.key.verifier.text(), other))
    with pytest.raises(RuntimeError, match="is of the log"):
        witness.start()


def test_a_key_of_another_witness_keeps_it_from_starting(database: Server, tmp_path: Path) -> None:
    witness = make_witness(database, tmp_path / "w", "w", (LOG.key.verifier,))
    other = make_witness(database, tmp_path / "v", "v", (LOG.key.verifier,))
    (witness.folder / "witness-key").write_text(other.key.text())
    with pytest.raises(RuntimeError, match="is the key of"):
        witness.start()


def test_a_state_that_cannot_be_written_is_not_cosigned(witness: RunningWitness) -> None:
    assert witness.add(asked(LOG, 0, 7))[0] == 200
    # A folder in the way of the temporary file: even root cannot write through it.
    (witness.state / f".{STATE}.new").mkdir()
    assert witness.add(asked(LOG, 7, 20))[0] == 503
    (witness.state / f".{STATE}.new").rmdir()
    assert witness.add(asked(LOG, 7, 20))[0] == 200
    assert "witness_state_failures_total 1.0" in witness.ask("GET", "/metrics")[1].decode()


def test_without_a_certificate_of_ours_nobody_gets_an_answer(
    witness: RunningWitness, database: Server
) -> None:
    witness.tls = client_context(database.root / "ca.pem")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        witness.ask("GET", "/state")
