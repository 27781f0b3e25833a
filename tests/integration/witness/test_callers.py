"""A witness that knows whose requests it takes: real processes, real signatures, over restarts."""

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from daemons.witness.nonces import FILE
from tests.integration.witness.test_daemon import LOG, asked
from tests.support.postgres import Server
from tests.support.signers import signer_of
from tests.support.tlog import log_key
from tests.support.witnesses import RunningWitness, make_witness, running

pytestmark = pytest.mark.postgres
# By its certificate the caller of these tests is the operator.
CALLER = signer_of("operator")


@pytest.fixture
def strict(database: Server, tmp_path: Path) -> Iterator[RunningWitness]:
    """A witness that takes the requests of one caller."""
    made = make_witness(database, tmp_path / "w", "w", (log_key().verifier,))
    made.takes(CALLER)
    with running(made):
        yield made


def counted(witness: RunningWitness, result: str) -> float:
    for line in witness.ask("GET", "/metrics")[1].decode().splitlines():
        if line.startswith(f'witness_requests_total{{result="{result}"}}'):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no metric of {result}")


def test_only_a_request_that_its_caller_signed_is_judged(strict: RunningWitness) -> None:
    assert [counted(strict, each) for each in ("unsigned", "unknown_caller", "replayed")] == [0] * 3
    body = asked(LOG, 0, 7).encode()
    good = strict.signed(body)
    attempts: dict[str, tuple[bytes, dict[str, str]]] = {
        "not signed": (body, {}),
        "another body": (asked(LOG, 0, 8).encode(), good),
        "by another key": (body, strict.signed(body, signer_of("operator", 2))),
        "in another's name": (body, strict.signed(body, signer_of("anode"))),
        "of an hour ago": (body, strict.signed(body, signer_of("operator", behind=HOUR))),
        "of the next hour": (body, strict.signed(body, signer_of("operator", behind=-HOUR))),
        "to another host": (body, {**good, "Host": f"elsewhere:{strict.port}"}),
        "to another port": (body, {**good, "Host": f"localhost:{strict.port + 1}"}),
    }
    for what, (sent, fields) in attempts.items():
        status, answer, _ = strict.send(sent, fields)
        assert (what, status) == (what, 401)
        assert answer.startswith(b"unsigned: requests are taken signed by a sequencer")
    assert counted(strict, "unsigned") == len(attempts)
    assert not (strict.state / "state.json").exists()
    lines = [line.removeprefix("WARNING ") for line in strict.log.splitlines() if "refused" in line]
    assert [json.loads(line)["refused"] for line in lines] == ["unsigned"] * len(attempts)
    assert {json.loads(line)["caller"] for line in lines} == {"operator"}
    # What they had been made of is still good.
    assert strict.send(body, good)[0] == 200
    # Everybody with a certificate may go on asking what it saw.
    assert json.loads(strict.ask("GET", "/state")[1])["callers"] == ["operator"]
    assert "witness_callers 1.0" in strict.ask("GET", "/metrics")[1].decode()


HOUR = timedelta(hours=1)


def test_a_request_counts_once_over_a_restart_too(strict: RunningWitness) -> None:
    """Killed right after its answer, and started again: the same bytes are refused."""
    body = asked(LOG, 0, 7).encode()
    fields = strict.signed(body)
    # At once, many times: one is judged.
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: strict.send(body, fields)[0], range(6)))
    assert sorted(found) == [200] + [401] * 5
    for number in (signal.SIGKILL, signal.SIGTERM):
        strict.stop(number)
        strict.start()
        status, answer, _ = strict.send(body, fields)
        assert status == 401
        # (On a machine so slow that a minute went by, it is refused for its age instead.)
        assert b"sent before" in answer or b"too old" in answer
    # A new one is not.
    assert strict.add(asked(LOG, 7, 20))[0] == 200
    assert strict.memory["size"] == 20


def test_a_request_that_was_refused_for_what_it_says_counts_as_taken(
    strict: RunningWitness,
) -> None:
    assert strict.add(asked(LOG, 0, 7))[0] == 200
    body = asked(LOG, 0, 20).encode()
    fields = strict.signed(body)
    assert [strict.send(body, fields)[0] for _ in range(2)] == [409, 401]


def test_a_caller_whose_key_is_not_known_is_refused(strict: RunningWitness) -> None:
    strict.stop()
    strict.takes(signer_of("anode"))
    strict.start()
    # Signed, and even with a key that counts: the certificate says who asks.
    for signer in (signer_of("operator"), signer_of("anode")):
        body = asked(LOG, 0, 7).encode()
        status, answer, _ = strict.send(body, strict.signed(body, signer))
        assert (status, b"I know no key of this caller" in answer) == (401, True)
    assert counted(strict, "unknown_caller") == 2


def test_without_callers_anybody_is_taken(witness: RunningWitness) -> None:
    assert witness.add(asked(LOG, 0, 7))[0] == 200
    assert json.loads(witness.ask("GET", "/state")[1])["callers"] == []
    assert "witness_callers 0.0" in witness.ask("GET", "/metrics")[1].decode()
    assert "taken from anybody" in witness.log
    # A signature that nobody asked for is no reason to refuse.
    witness.signer = CALLER
    assert witness.add(asked(LOG, 7, 20))[0] == 200


def test_a_nonce_that_cannot_be_kept_is_not_taken(strict: RunningWitness) -> None:
    # A folder in the way of the temporary file: even root cannot write through it.
    (strict.state / f".{FILE}.new").mkdir()
    assert strict.add(asked(LOG, 0, 7))[0] == 503
    (strict.state / f".{FILE}.new").rmdir()
    assert strict.add(asked(LOG, 0, 7))[0] == 200


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (f"state/{FILE}", '{"version": 2}', "nonces of version 2; delete it once"),
        ("callers.toml", '[callers]\noperator = "no key"\n', "callers.operator"),
    ],
)
def test_damage_keeps_it_from_starting(
    database: Server, tmp_path: Path, file: str, content: str, said: str
) -> None:
    witness = make_witness(database, tmp_path / "w", "w", (LOG.key.verifier,))
    (witness.folder / file).write_text(content)
    with pytest.raises(RuntimeError, match=f"(?s)exit code 78.*{said}"):
        witness.start()
