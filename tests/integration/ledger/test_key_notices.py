"""Notices of keys on a real server and a real receiver: none without its event, none lost.

Crashes are real ones (a process that is killed), or the server's own: what was committed is there.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemons.key_decay.decide import ENDED, TIER_CHANGED, WILL_BE_DORMANT
from daemons.key_decay.message import message, trial_message
from daemons.key_decay.outbox import GIVEN_UP, Outbox, Sent
from daemons.key_decay.shell import settle_due
from daemons.key_decay.webhook import endpoint
from ledger import notices
from ledger.connect import Connection, connect
from ledger.event import Event
from ledger.identifiers import new_id
from ledger.notices import STATES, Notice
from tests.integration.ledger.test_key_decay import age, events, make
from tests.support.postgres import Server
from tests.support.webhooks import Receiver, receiving
from trust.webhooks import new_text, parse

ROOT = Path(__file__).parents[3]
SECRET = new_text(os.urandom)
LEASE = timedelta(seconds=60)
SOON = 180  # a bound, for a slow machine


@asynccontextmanager
async def node(database: Server) -> AsyncIterator[Connection]:
    """A data node's connection, as the key decay has it."""
    async with await connect(database.settings("sequencer", user="fed_keys")) as connection:
        yield connection


async def send(database: Server, receiver: Receiver, seconds: float = 0) -> Sent:
    """One node's run, over at once when nobody takes anything."""
    async with (
        node(database) as connection,
        endpoint(receiver.url, parse(SECRET), seconds=30.0) as where,
    ):
        return await Outbox(connection, where, "anode").run(seconds)


def notice(key_id: str = "0123456789a", text: str = "it") -> Notice:
    now = datetime.now(UTC)
    event = Event(new_id(), now, "anode", "test", TIER_CHANGED, f"key:{key_id}", {"to": "weak"})
    return message(event, key_id, text)


async def states(operator: Connection) -> list[tuple[str, int, str | None]]:
    found = await notices.listed(operator, STATES, 100)
    return [(each.state, each.attempts, each.last_error) for each in reversed(found)]


def pass_time(database: Server, days: float) -> None:
    """Let time pass for what waits."""
    database.psql(
        f"UPDATE ledger.key_notices SET made_at = made_at - interval '{days} days',"  # noqa: S608
        f" next_at = next_at - interval '{days} days',"
        f" leased_until = leased_until - interval '{days} days',"
        f" settled_at = settled_at - interval '{days} days'",
        "federation",
    )


async def test_a_notice_is_there_with_its_event_or_neither_is(
    operator: Connection, database: Server
) -> None:
    key = await make(operator)
    age(database, 12)
    async with node(database) as connection:
        await settle_due(connection, "anode", 500)
        assert await states(operator) == []  # nobody is to be told
        age(database, 18)
        database.psql("ALTER TABLE ledger.key_notices RENAME TO elsewhere", "federation")
        with pytest.raises(Exception, match="key_notices"):
            await settle_due(connection, "anode", 500, tell=True)
        told = len(events(database))
        database.psql("ALTER TABLE ledger.elsewhere RENAME TO key_notices", "federation")
        await settle_due(connection, "anode", 500, tell=True)
    waiting = await notices.listed(operator, STATES, 100)
    assert {each.key_id for each in waiting} == {key}
    assert [str(each.id) for each in reversed(waiting)] == [
        event["id"] for event in events(database)[told:]
    ]


async def test_what_fails_waits_longer_each_time_and_arrives_once_it_is_taken(
    operator: Connection, database: Server
) -> None:
    async with node(database) as connection:
        await notices.put(connection, [notice()])
    async with receiving(SECRET, 503, 302, 400) as receiver:
        for attempt, error in enumerate(("status 503", "status 302", "status 400"), 1):
            assert (await send(database, receiver)).failed == 1
            assert await states(operator) == [("pending", attempt, error)]
            [waiting] = await notices.listed(operator, STATES, 1)
            pause = (waiting.next_at - datetime.now(UTC)).total_seconds()
            assert pause <= 5 * 2 ** (attempt - 1)
            pass_time(database, -0.05)  # on a slow machine it would be due by now
            assert (await send(database, receiver)).failed == 0
            pass_time(database, 0.1)
        sent = await send(database, receiver)
        assert (sent.delivered, sent.figures.pending, receiver.refused) == (1, 0, 0)
        assert await states(operator) == [("delivered", 4, None)]
        # The same message each time, and a redirect leads nowhere.
        assert len(set(receiver.ids)) == 1 and len(receiver.heard) == 4
        assert (await send(database, receiver)).delivered == 0


async def test_a_run_goes_on_trying_by_itself(operator: Connection, database: Server) -> None:
    async with node(database) as connection:
        await notices.put(connection, [notice()])
    async with receiving(SECRET, 500) as receiver:
        sent = await send(database, receiver, seconds=SOON)
    assert (sent.failed, sent.delivered) == (1, 1)
    assert await states(operator) == [("delivered", 2, None)]


async def test_nodes_at_once_send_each_notice_once_and_a_keys_in_order(
    operator: Connection, database: Server
) -> None:
    made = [notice(f"{n % 7:011d}", text=str(n)) for n in range(60)]
    async with node(database) as connection:
        await notices.put(connection, made)
    async with receiving(SECRET) as receiver:
        await asyncio.gather(*(send(database, receiver, seconds=SOON) for _ in range(3)))
    assert sorted(receiver.ids) == sorted(str(each.id) for each in made)
    for key in {each.key_id for each in made}:
        heard = [int(told["data"]["text"]) for _, told in receiver.heard
                 if told["data"]["key"] == key]  # fmt: skip
        assert heard == sorted(heard)
    assert {state for state, _, _ in await states(operator)} == {"delivered"}


async def test_a_lease_that_ends_is_somebody_elses_and_a_late_answer_still_counts(
    operator: Connection, database: Server
) -> None:
    async with node(database) as one, node(database) as other:
        await notices.put(one, [notice()])
        [first] = await notices.take(one, "one", 10, LEASE)
        assert await notices.take(other, "other", 10, LEASE) == ()
        pass_time(database, 0.01)
        [second] = await notices.take(other, "other", 10, LEASE)
        assert (first.attempts, second.attempts) == (1, 2)
        # The first one's failure is of no account any more; its success would be.
        await notices.later(one, first, LEASE, "slow")
        assert await states(operator) == [("pending", 2, None)]
        await notices.delivered(one, first.notice.id)
        await notices.later(other, second, LEASE, "status 500")
        assert await states(operator) == [("delivered", 2, None)]


async def test_what_nobody_takes_for_three_days_is_given_up_and_the_log_says_so(
    operator: Connection, database: Server
) -> None:
    old, young = notice("00000000001"), notice("00000000002")
    async with node(database) as connection:
        await notices.put(connection, [old])
        pass_time(database, 3.1)
        await notices.put(connection, [young])
    async with receiving(SECRET, 500, 500) as receiver:
        sent = await send(database, receiver)
        assert (sent.figures.given_up, sent.figures.pending) == (1, 1)
        assert await states(operator) == [
            ("given_up", 1, "status 500"),
            ("pending", 1, "status 500"),
        ]
        [event] = [each for each in events(database) if each["kind"] == GIVEN_UP]
        assert event["subject"] == f"notice:{old.id}"
        assert (event["data"]["key"], event["data"]["last_error"]) == (old.key_id, "status 500")
        pass_time(database, 0.1)
        assert (await send(database, receiver)).delivered == 1  # it is back: the young one arrives
        pass_time(database, 31)
        await send(database, receiver)
    assert await states(operator) == []


async def test_what_waited_while_all_was_off_is_sent_first_and_not_given_up(
    operator: Connection, database: Server
) -> None:
    async with node(database) as connection:
        await notices.put(connection, [notice()])
    pass_time(database, 10)
    async with receiving(SECRET) as receiver:
        assert (await send(database, receiver)).delivered == 1
    assert await states(operator) == [("delivered", 1, None)]


async def test_a_test_notice_waits_for_no_other_and_the_operator_reads_no_text(
    operator: Connection, database: Server
) -> None:
    now = datetime.now(UTC)
    for _ in range(2):
        await notices.put(operator, [trial_message(new_id(), now, "here", "me")])
    async with receiving(SECRET, 500, 200) as receiver:
        sent = await send(database, receiver)
    assert (sent.failed, sent.delivered) == (1, 1)
    with pytest.raises(Exception, match="permission denied"):
        await operator.execute("SELECT body FROM ledger.key_notices")


class Process:
    """The daemon as its unit starts it."""

    def __init__(self, database: Server, folder: Path) -> None:
        self._folder, self._database = folder, database
        self.figures = folder / "key_decay.prom"
        (folder / "webhook-secret").write_text(SECRET + "\n")

    @contextmanager
    def started(self, receiver: Receiver) -> Iterator[subprocess.Popen[bytes]]:
        """It runs; killed at the end, if it still does."""
        clients = self._database.root / "clients"
        config = self._folder / "key-decay.toml"
        config.write_text(
            f'node = "anode"\nhosts = ["localhost"]\naddresses = ["127.0.0.1"]\n'
            f"port = {self._database.port}\n"
            f'certificate_path = "{clients}/sequencer.pem"\nkey_path = "{clients}/sequencer.key"\n'
            f'ca_path = "{self._database.root}/ca.pem"\nmetrics_path = "{self.figures}"\n'
            f'webhook_url = "{receiver.url}"\nwebhook_seconds = 15\n'
        )
        command = [sys.executable, "-m", "daemons.key_decay", "--config", str(config)]
        environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(self._folder)}
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, cwd=ROOT, env=environment
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    async def run(self, receiver: Receiver) -> tuple[int, str]:
        """Let it run to its end: the exit code, and what it said."""
        with self.started(receiver) as process:
            _, said = await asyncio.to_thread(process.communicate, timeout=SOON)
            return process.returncode, said.decode()


async def test_a_process_that_is_killed_while_it_sends_loses_nothing(
    operator: Connection, database: Server, tmp_path: Path
) -> None:
    ending = await make(operator, expires_at=datetime.now(UTC) + timedelta(seconds=2))
    sleepy = await make(operator, name="night job")
    age(database, 40, f"key_id = '{sleepy}'")
    await asyncio.sleep(2)
    daemon = Process(database, tmp_path)
    async with receiving(SECRET, 0) as receiver:
        with daemon.started(receiver) as process:
            await asyncio.wait_for(receiver.asked.wait(), SOON)
            process.kill()
        pass_time(database, 0.01)  # the lease ends
        code, said = await daemon.run(receiver)
    assert code == 0, said
    assert receiver.refused == 0
    assert len(receiver.ids) == 4 and len(set(receiver.ids)) == 3  # one came twice, none is missing
    told: list[dict[str, Any]] = [body for _, body in receiver.heard]
    assert {(each["type"], each["data"]["key"]) for each in told} == {
        (ENDED, ending),
        (TIER_CHANGED, sleepy),
        (WILL_BE_DORMANT, sleepy),
    }
    assert any("night job" in each["data"]["text"] for each in told)
    # Names are for people, not for the log.
    assert all("night job" not in str(event) for event in events(database))
    assert set(receiver.ids) <= {event["id"] for event in events(database)}
    figures = daemon.figures.read_text()
    assert "federation_key_notices_delivered 3\n" in figures
    assert "federation_key_notices_pending 0\n" in figures
    assert 'federation_key_decay_misused{kind="volume"} 0\n' in figures


async def test_a_ledger_that_is_away_or_a_wrong_secret_is_a_failed_run(
    database: Server, tmp_path: Path
) -> None:
    daemon = Process(database, tmp_path)
    async with receiving(SECRET) as receiver:
        (tmp_path / "webhook-secret").write_text("hello\n")
        code, said = await daemon.run(receiver)
        assert code == 1 and "whsec_" in said and "hello" not in said
        (tmp_path / "webhook-secret").write_text(SECRET)
        database.stop()
        try:
            code, said = await daemon.run(receiver)
        finally:
            database.start()
    assert code == 1 and said.startswith("federation-key-decay: ")
