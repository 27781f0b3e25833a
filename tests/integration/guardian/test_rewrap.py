"""A rotation that goes on in the background, in a guardian that is killed meanwhile."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from daemons.guardian.metrics import GuardianMetrics
from daemons.guardian.rewrap import Rewrap
from deploys.own_secrets import operator_signing
from tests.integration.guardian.test_commands import ALL, KEY, Desk
from tests.support.gateway import until
from tests.support.guardians import RunningGuardian, guarding, make_guardian
from tests.support.postgres import Server
from trust import warrants
from trust.callers import public_hex
from trust.datakeys import KeyName
from trust.shares import Share

pytestmark = pytest.mark.postgres
RESEAL = "EXECUTE ON FUNCTION ledger.reseal_content(uuid, text, bytea, bigint, bytea)"


@pytest.fixture
def desk(database: Server, tmp_path: Path) -> Desk:
    return Desk(database, tmp_path)


def kept(guardian: RunningGuardian) -> list[Path]:
    """The warrants that it has."""
    return list((guardian.folder / "warrants").glob("*.warrant"))


async def test_the_guardian_goes_on_with_a_rotation_whatever_happens_to_it(
    desk: Desk, tmp_path: Path
) -> None:
    await asyncio.to_thread(desk.init)
    said = [await asyncio.to_thread(desk.say, f"note {n}".encode()) for n in range(3)]
    share, two = desk.share("guardian.txt"), desk.with_cards(*ALL[:2])
    known = {"operator": public_hex(operator_signing(desk.stage.home))}
    with guarding(make_guardian(desk.server, tmp_path / "g", share, known=known)) as guardian:
        place = ("--guardian", f"127.0.0.1:{guardian.port}")
        # It begins, and cannot go on.
        desk.server.psql(f"REVOKE {RESEAL} FROM fed_guardian", "federation")
        found = await asyncio.to_thread(desk.answer, "rotate", KEY, *two, *place)
        assert (found["result"], found["phase"], found["to"]) == ("act", "rewrap", 2)
        [warrant] = kept(guardian)
        for half in (
            desk.share(name).half(KeyName(KEY, epoch)) for name in ALL for epoch in (1, 2)
        ):
            secret = half.secret.reveal()
            assert secret not in warrant.read_bytes()
            assert secret.hex() not in warrant.read_bytes().decode("latin-1") + guardian.log
        guardian.stop(signal.SIGKILL)
        desk.server.psql(f"GRANT {RESEAL} TO fed_guardian", "federation")
        guardian.start()

        async def moved() -> bool:
            status = await asyncio.to_thread(desk.answer, "status")
            return bool(status["keys"][0]["epochs"] == {"1": 0, "2": 3}) and not kept(guardian)

        await until(moved)
        metrics = guardian.ask("GET", "/metrics")[1].decode()
        assert "guardian_resealed_total 3.0" in metrics
    for number, reference in enumerate(said):
        assert await asyncio.to_thread(desk.hear, reference, *ALL[1:]) == f"note {number}".encode()
    kinds = desk.kinds()
    assert kinds.index("custody.current") < kinds.index("custody.warranted")
    assert kinds.count("custody.warrant_ended") == 1
    # Only the operator's computer knows what backups hold: it drops the old key.
    assert (await asyncio.to_thread(desk.answer, "rotate", KEY, *two, "--share",
            str(desk.cards / ALL[2])))["result"] == "done"  # fmt: skip


def test_a_warrant_is_taken_of_who_may_and_of_what_opens_its_keys(
    desk: Desk, tmp_path: Path
) -> None:
    desk.init()
    share = desk.share("guardian.txt")
    cards = [desk.share(name) for name in ALL[:2]]
    good = warrants.issue(KEY, 1, 2, [1], cards)
    with guarding(make_guardian(desk.server, tmp_path / "g", share)) as guardian:
        for body, client, status in (
            (b"{}", "operator", 400),
            (good.to_bytes(), "gateway", 403),  # it may have halves of this key, and no more
            (good.to_bytes(), "stranger", 403),
            (good.to_bytes(), "operator", 409),  # no rotation is under way
        ):
            fields = guardian.signed(body, client, "/rewrap")
            assert guardian.ask("POST", "/rewrap", body, client, fields)[0] == status
        assert guardian.ask("POST", "/rewrap", good.to_bytes(), "operator")[0] == 401
        assert kept(guardian) == [] and "custody.warranted" not in desk.kinds()


async def test_a_warrant_stays_until_its_end_is_recorded(
    database: Server, tmp_path: Path, three: tuple[Share, ...]
) -> None:
    # So old that it is over, whatever became of its rotation.
    path = tmp_path / "any.warrant"
    warrant = warrants.issue(KEY, 1, 2, [1], three[:2])
    path.write_bytes(KEY.encode() + b"\n" + warrants.closed(warrant, three[2]))
    os.utime(path, (0, 0))
    metrics = GuardianMetrics()

    async def works_until(happened: Callable[[], bool]) -> None:
        ledger = database.settings("guardian")
        rewrap = Rewrap("g", three[2], ledger, metrics, tmp_path, ledger_seconds=5)
        task = asyncio.create_task(rewrap.run())
        await until(lambda: asyncio.sleep(0, happened()), 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    database.stop()
    try:
        await works_until(lambda: b"guardian_rewrap_failures_total 1.0" in metrics.text())
        assert path.exists()
    finally:
        database.start()
    # The next one, as after a kill, finds it and ends it.
    await works_until(lambda: not path.exists())
    ended = "SELECT count(*) FROM ledger.inbox WHERE kind = 'custody.warrant_ended'"
    assert database.psql(ended, "federation") == "1"
