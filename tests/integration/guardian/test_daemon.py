"""The guardian as a process: mutual TLS, an event before every release, closed without a ledger."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedctl.errors import GuardianAway
from fedctl.guardian_client import RemoteGuardian
from ledger import custody
from ledger.connect import connect
from ledger.custody import By
from tests.support.guardians import RunningGuardian, guarding, make_guardian
from tests.support.memory import core_limits, times_in_memory
from tests.support.postgres import Server
from trust.callers import Signer
from trust.datakeys import KeyName
from trust.errors import HalfRefused
from trust.printed import card
from trust.shares import Share
from trust.tls import client_context

pytestmark = pytest.mark.postgres
KEY = "default/content"


def events(server: Server) -> list[dict[str, object]]:
    """Releases that are in the ledger, in their order."""
    rows = server.psql(
        "SELECT encode(body, 'escape') FROM ledger.inbox WHERE kind = 'custody.released'"
        " ORDER BY arrival",
        "federation",
    )
    return [json.loads(row) for row in rows.splitlines()]


def test_a_half_is_given_for_one_key_and_is_in_the_log_with_who_and_why(
    guardian: RunningGuardian, three: tuple[Share, ...]
) -> None:
    status, answer, headers = guardian.release(KEY, 3)
    name = KeyName(KEY, 3)
    assert (status, answer) == (
        200,
        {
            "key": KEY,
            "epoch": 3,
            "holder": "guardian",
            "half": three[2].half(name).secret.reveal().hex(),
        },
    )
    assert headers["Cache-Control"] == "no-store"
    [event] = events(guardian.server)
    assert (event["subject"], event["actor"]) == (KEY, "guardian@guardian")
    assert event["data"] == {"caller": "gateway", "epoch": 3, "purpose": "test"}
    stored = guardian.server.psql("SELECT * FROM ledger.inbox", "federation")
    for secret in (answer["half"], three[2].secret.reveal().hex()):
        assert str(secret) not in guardian.log and str(secret) not in stored


def test_what_no_rule_allows_is_refused_with_the_reason_and_leaves_no_event(
    guardian: RunningGuardian,
) -> None:
    for key, client in (
        ("default/prompts", "gateway"),
        ("acme/content", "gateway"),
        (KEY, "gateway2"),
        (KEY, "stranger"),
    ):
        status, answer, _ = guardian.release(key, 1, client)
        assert (status, "half" in answer) == (403, False)
        assert answer["error"] == f"no rule lets {client} have halves of {key}"
    assert guardian.ask("POST", "/release", b"{}")[0] == 400
    assert guardian.ask("POST", "/release", b"x" * 5000)[0] == 413
    assert guardian.ask("GET", "/release")[0] == 405
    assert events(guardian.server) == []
    metrics = guardian.ask("GET", "/metrics")[1].decode()
    assert 'guardian_requests_total{result="not_allowed"} 4.0' in metrics
    assert 'guardian_requests_total{result="malformed"} 1.0' in metrics
    assert "guardian_ready 1.0" in metrics


def test_without_a_certificate_of_ours_nobody_gets_an_answer(guardian: RunningGuardian) -> None:
    context = client_context(guardian.server.root / "ca.pem")
    nobody = RemoteGuardian("127.0.0.1", guardian.port, context, "test")
    with pytest.raises(GuardianAway, match="cannot be asked"):
        nobody.half(KeyName(KEY, 1))
    assert events(guardian.server) == []


def test_an_hours_limit_holds_for_many_at_once_and_after_kill_9(
    database: Server, tmp_path: Path, three: tuple[Share, ...]
) -> None:
    made = make_guardian(database, tmp_path / "g", three[2], tenant_per_hour=3)
    with guarding(made) as guardian:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: guardian.release(KEY)[0], range(8)))
        assert sorted(answers) == [200] * 3 + [429] * 5
        guardian.stop(signal.SIGKILL)
        guardian.start()
        # The ledger remembers, whatever became of the process.
        status, answer, headers = guardian.release(KEY)
        assert (status, "half" in answer) == (429, False)
        assert "3 releases in the last hour for the tenant default, at most 3" in str(answer)
        assert 3000 < int(headers["Retry-After"]) <= 3600
        assert guardian.release("acme/content", 1, "operator")[0] == 200
    assert len(events(database)) == 4


def test_without_the_ledger_nothing_is_given_out_and_with_it_again(
    guardian: RunningGuardian,
) -> None:
    assert guardian.release(KEY)[0] == 200
    guardian.server.stop()
    try:
        status, answer, headers = guardian.release(KEY)
        assert (status, "half" in answer, headers["Retry-After"]) == (503, False, "1")
        guardian.stop(signal.SIGKILL)
        guardian.start()
        assert guardian.release(KEY)[0] == 503
    finally:
        guardian.server.start()
    assert guardian.release(KEY)[0] == 200
    # Each that was given out is in the log: no more, no fewer.
    assert len(events(guardian.server)) == 2


def test_a_ledger_that_refuses_the_record_keeps_the_half_in(guardian: RunningGuardian) -> None:
    """Not away but unwilling: the half must not leave on the guardian's own word."""
    revoke = "REVOKE EXECUTE ON FUNCTION ledger.append_events(bytea[]) FROM fed_guardian"
    guardian.server.psql(revoke, "federation")
    for _ in range(25):  # more than an hour's limit: what was not given out does not count
        status, answer, _ = guardian.release(KEY)
        assert (status, "half" in answer) == (503, False)
    assert events(guardian.server) == []
    guardian.server.psql(revoke.replace("REVOKE", "GRANT").replace("FROM", "TO"), "federation")
    assert guardian.release(KEY)[0] == 200


async def test_its_memory_holds_its_share_and_no_other_nor_any_data_key(
    guardian: RunningGuardian, three: tuple[Share, ...]
) -> None:
    by = By("ada@desk", "desk")
    async with await connect(guardian.server.settings("operator")) as operator:
        # Opened here, with the guardian's half, several times.
        made = await custody.make(operator, "default", "content", three, by)
        for other in three[:2]:
            await custody.open_key(operator, KEY, (other, guardian.keeper()))
    assert guardian.process is not None
    secrets = [share.secret.reveal() for share in (three[2], *three[:2])]
    secrets += [made.secret.reveal(), *(s.half(made.name).secret.reveal() for s in three[:2])]
    own, *others = times_in_memory(guardian.process.pid, secrets)
    # Its own share is there: the search finds what is.
    assert own >= 1 and set(others) == {0}
    assert core_limits(guardian.process.pid) == ["0", "0"]


async def test_with_the_guardian_either_other_share_opens_a_key(
    guardian: RunningGuardian, three: tuple[Share, ...]
) -> None:
    by = By("ada@desk", "desk")
    async with await connect(guardian.server.settings("operator")) as operator:
        made = await custody.make(
            operator, "default", "content", (*three[:2], guardian.keeper()), by
        )
        for pair in combinations((*three[:2], guardian.keeper()), 2):
            assert (await custody.open_key(operator, KEY, pair)).current == made
    with pytest.raises(HalfRefused, match="no rule lets gateway2"):
        guardian.keeper("gateway2").half(KeyName(KEY, 1))


BODY = json.dumps({"key": KEY, "epoch": 1, "purpose": "test"}).encode()


def test_whoever_must_sign_is_refused_with_the_tls_key_alone(guardian: RunningGuardian) -> None:
    good = guardian.signed(BODY)
    attempts: dict[str, tuple[bytes, dict[str, str]]] = {
        "not signed": (BODY, {}),
        "another body": (BODY.replace(b"content", b"prompts"), good),
        "by another key": (BODY, signed_by(guardian, Ed25519PrivateKey.generate())),
        "to another host": (BODY, {**good, "Host": "127.0.0.2:1"}),
        "to another port": (BODY, {**good, "Host": f"127.0.0.1:{guardian.port + 1}"}),
    }
    for what, (body, fields) in attempts.items():
        status, answer, _ = guardian.send(body, "operator", fields)
        assert (what, status, "half" in answer) == (what, 401, False)
        assert str(answer["error"]).startswith("operator must sign its requests")
    # Nor does the signature do without the certificate it belongs to.
    assert guardian.send(BODY, "stranger", guardian.signed(BODY))[0] == 403
    assert events(guardian.server) == []
    metrics = guardian.ask("GET", "/metrics")[1].decode()
    assert 'guardian_requests_total{result="unsigned"} 5.0' in metrics


def signed_by(guardian: RunningGuardian, key: Ed25519PrivateKey) -> dict[str, str]:
    signer = Signer("operator", key, lambda: "0" * 32, lambda: datetime.now(UTC))
    return signer.headers("POST", f"https://127.0.0.1:{guardian.port}/release", BODY)


def test_a_signed_request_counts_once_over_a_restart_too(guardian: RunningGuardian) -> None:
    fields = guardian.signed(BODY)
    # At once, many times: one half.
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: guardian.send(BODY, "operator", fields)[0], range(6)))
    assert sorted(found) == [200] + [401] * 5
    told = "SELECT count(*) FROM ledger.inbox WHERE kind = 'custody.replayed'"
    # A flood of replays is no flood of events: one a minute and process.
    assert guardian.server.psql(told, "federation").strip() == "1"
    guardian.stop(signal.SIGKILL)
    guardian.start()
    status, answer, _ = guardian.send(BODY, "operator", fields)
    assert (status, "half" in answer) == (401, False)
    # (On a machine so slow that a minute went by, it is refused for its age instead.)
    assert "sent before" in str(answer["error"]) or "too old" in str(answer["error"])
    [event] = events(guardian.server)
    data = event["data"]
    assert isinstance(data, dict) and data["nonce"] in fields["Signature-Input"]


@pytest.mark.parametrize(
    ("share", "said"),
    [("", "line 1: is missing"), ("1: 2T4K 9QWE RTY2 8ZXC", "line"), ("gateway", "not of the")],
)
def test_a_share_that_is_none_of_its_own_keeps_it_from_starting(
    database: Server, tmp_path: Path, three: tuple[Share, ...], share: str, said: str
) -> None:
    guardian = make_guardian(database, tmp_path / "g", three[2])
    text = card(three[1], "test", "", "2026-11-21") if share == "gateway" else share
    (guardian.folder / "share").write_text(text)
    with pytest.raises(RuntimeError, match=f"(?s)exit code 78.*{said}"):
        guardian.start()
