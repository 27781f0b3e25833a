"""What the audit is told when its disk fails, or whoever waits for it leaves."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from gateway.errors import AuditAway, BadRequest
from gateway.journal import Journal, Progress
from gateway.metrics import GatewayMetrics
from gateway.request import Call
from gateway.routes import ROUTES
from gateway.seams import Principal
from gateway.spool.audit import SpoolAudit
from gateway.spool.errors import SpoolFailed
from ledger.identifiers import new_text
from ledger.requests import Outcome

ROUTE = ROUTES["/v1/chat/completions"]
SOMEBODY = Principal("0123456789a", "default", frozenset(), None)


class Disk:
    """A spool whose writes end when the test says so (gateway.spool.writer.Spool)."""

    def __init__(self) -> None:
        self.room = SimpleNamespace(admits=lambda: True)
        self.records: list[dict[str, Any]] = []
        self.waiters: list[asyncio.Future[None]] = []
        self.heirs: list[Callable[[bool], None]] = []
        self.fails = False

    def begin(self, record: bytes) -> asyncio.Future[None]:
        self.records.append(orjson.loads(record))
        waiter = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        return waiter

    end = begin

    def note(self, record: bytes) -> asyncio.Future[None]:
        waiter = self.begin(record)
        waiter.set_result(None)
        return waiter

    def inherit(self, _waiter: asyncio.Future[None], then: Callable[[bool], None]) -> None:
        self.heirs.append(then)


class Stage:
    """A journal on such a disk, and one request."""

    def __init__(self) -> None:
        self.disk, self.metrics = Disk(), GatewayMetrics(["engine"])
        disk: Any = self.disk
        self.audit = SpoolAudit(disk, self.metrics, "n", lambda: 10**18)
        self.journal = Journal("n", self.audit, self.metrics, lambda: 10**18)
        self.exchange: Any = SimpleNamespace(
            id=new_text(), request_id="r-1", traceparent=None, elapsed_seconds=0.0125, status=None
        )
        self.progress = Progress()

    async def begun(self, model: str = "m") -> asyncio.Task[Any]:
        """The intent is being written."""
        await self.audit.start()
        task = asyncio.create_task(
            self.journal.begin(self.exchange, SOMEBODY, Call(model, False, b"{}"), ROUTE)
        )
        await asyncio.sleep(0)
        return task

    async def ending(self) -> asyncio.Task[None]:
        """The intent is durable, the ending is being written."""
        task = await self.begun()
        self.disk.waiters[-1].set_result(None)
        intent = await task
        end = asyncio.create_task(
            self.journal.end(self.exchange, intent, self.progress, Outcome.ANSWERED, 200)
        )
        await asyncio.sleep(0)
        return end

    def counted(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"gateway_{name}", labels)

    def deferred(self) -> list[dict[str, Any]]:
        return [orjson.loads(record) for record, _ in self.audit._deferred.values()]


async def test_an_answer_is_recorded_and_counted_once_it_is_durable() -> None:
    stage = Stage()
    end = await stage.ending()
    assert stage.counted("outcomes_total", outcome="answered") == 0
    stage.disk.waiters[-1].set_result(None)
    await end
    assert stage.counted("outcomes_total", outcome="answered") == 1
    assert stage.progress.recorded and not stage.deferred()
    started, finished = stage.disk.records[-2:]
    assert started["subject"] == finished["subject"] == stage.exchange.id
    assert (finished["data"]["duration_ms"], finished["data"]["status"]) == (13, 200)


async def test_an_intent_the_disk_does_not_take_is_refused() -> None:
    stage = Stage()
    task = await stage.begun()
    stage.disk.waiters[-1].set_exception(SpoolFailed("no"))
    with pytest.raises(AuditAway):
        await task
    assert stage.counted("audit_failures_total", step="intent") == 1


async def test_before_the_run_has_begun_every_intent_is_refused() -> None:
    stage = Stage()
    call = Call("m", False, b"{}")
    with pytest.raises(AuditAway):
        await stage.journal.begin(stage.exchange, SOMEBODY, call, ROUTE)
    assert not stage.disk.records


async def test_a_model_that_cannot_be_recorded_is_the_clients_mistake() -> None:
    stage = Stage()
    with pytest.raises(BadRequest):
        await (await stage.begun("a\nb"))


async def test_an_answer_whose_ending_failed_waits_as_what_the_client_gets() -> None:
    stage = Stage()
    end = await stage.ending()
    stage.disk.waiters[-1].set_exception(SpoolFailed("no"))
    with pytest.raises(AuditAway):
        await end
    (waits,) = stage.deferred()
    assert (waits["data"]["outcome"], waits["data"]["status"]) == ("refused", 503)
    assert stage.counted("outcomes_total", outcome="answered") == 0


@pytest.mark.parametrize("kept", [True, False])
async def test_a_client_that_leaves_while_its_intent_is_written(kept: bool) -> None:
    """A durable one has an end, which waits for the disk; one that failed has none."""
    stage = Stage()
    task = await stage.begun()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (heir,) = stage.disk.heirs
    heir(kept)
    assert [e["data"]["outcome"] for e in stage.deferred()] == ["client_gone"] * kept


@pytest.mark.parametrize("kept", [True, False])
async def test_a_client_that_leaves_while_its_ending_is_written(kept: bool) -> None:
    """A durable one is counted; one that failed waits as it was."""
    stage = Stage()
    end = await stage.ending()
    end.cancel()
    with pytest.raises(asyncio.CancelledError):
        await end
    (heir,) = stage.disk.heirs
    heir(kept)
    assert stage.counted("outcomes_total", outcome="answered") == kept
    assert [e["data"]["outcome"] for e in stage.deferred()] == ["answered"] * (not kept)
