"""The steps of `up`, in order. Each is safe to repeat; together they end in a proven answer."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from deploys.protocol import Summary
from fedctl.commands.deploying import carry_out
from fedctl.errors import NotHealthy
from fedctl.looking import health
from fedctl.remote import Links
from fedctl.work import Work, actor
from inventory.model import Role
from ledger.errors import LedgerError
from runbooks.health import Health
from runbooks.observe import Observation

HEALTHY_SECONDS = 180.0
POLL_SECONDS = 2.0
FIRST_KEY = "first key"
SMOKE_KEY = "smoke test of fedctl up"
SMOKE_LIFETIME = timedelta(minutes=10)
SCOPES = ("inference",)


@dataclass
class Result:
    """What `up` ends with. `key` is set when one was issued: its only appearance."""

    summary: Summary
    observed: dict[str, Observation]
    judged: Health
    completion: dict[str, Any]
    key: str = ""
    custody: str = ""
    notes: list[str] = field(default_factory=list)


def bring_up(work: Work, *, new_key: bool, no_lock: bool) -> Result:
    """Everything from nothing to an answer."""
    app = work.app
    with building(work) as built:
        if app.federation.kind == "lab":
            machines(work)
        with work.progress.phase("Release and engine"):
            built()
    with work.locked("up", no_lock=no_lock):
        done = carry_out(work, ())
    with work.progress.phase("Wait until healthy"):
        observed, judged = wait_healthy(work)
    with work.progress.phase("Custody of data keys"):
        custody = app.parts.set_up_custody(app)
        work.note(custody)
    with work.progress.phase("One chat completion through a gateway"):
        key, completion = prove(work, new_key=new_key)
    work.facts["completion"] = completion
    return Result(done.summary, observed, judged, completion, key, custody)


def machines(work: Work) -> None:
    """The lab's machines, running; what this computer lacks for them is installed first."""
    app = work.app
    lab = app.parts.lab()
    with work.progress.phase("Requirements of the lab"):
        lab.install_requirements(work.progress)
    with work.progress.phase("Machines"):
        started = lab.up(app.federation, app.home, work.progress)
        work.note(f"started: {' '.join(started)}" if started else "all were running")


@contextmanager
def building(work: Work) -> Iterator[Callable[[], None]]:
    """Build what nodes are given beside the block; the value waits for it and raises its error.

    The thread is a daemon: an interrupted command does not wait for a download.
    """
    app = work.app
    errors: list[BaseException] = []

    def build() -> None:
        try:
            app.parts.build(app.federation, app.home, work.progress)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=build, name="build", daemon=True)
    thread.start()

    def wait() -> None:
        thread.join()
        if errors:
            raise errors[0]

    yield wait


def wait_healthy(work: Work) -> tuple[dict[str, Observation], Health]:
    """Look until nothing critical is wrong; raises NotHealthy after `HEALTHY_SECONDS`."""
    app = work.app
    deadline = time.monotonic() + HEALTHY_SECONDS
    said = ""
    with Links(app.parts.connect, app.federation, app.home) as links:
        while True:
            seen, judged = health(app, links, app.federation.nodes)
            reason = "" if judged.healthy else judged.reason
            reason = reason or gateways_not_ready(work)
            if not reason:
                return seen, judged
            if reason != said:
                work.note(reason)
                said = reason
            if time.monotonic() > deadline:
                advice = next((f.advice for f in judged.findings if f.advice), "fedctl status")
                raise NotHealthy(f"not healthy after {HEALTHY_SECONDS:.0f} s: {reason}", advice)
            time.sleep(POLL_SECONDS)


def gateways_not_ready(work: Work) -> str:
    """Why some gateway does not serve yet; empty when all do."""
    app = work.app
    ca = app.home.authority / "ca.pem"
    for node in app.federation.with_role(Role.GATEWAY):
        reason = app.parts.ready(app.federation, node, ca)
        if reason:
            return f"gateway {reason}"
    return ""


def prove(work: Work, *, new_key: bool) -> tuple[str, dict[str, Any]]:
    """A completion with a fresh key: the person's (first time), or one that is revoked again."""
    app = work.app
    gateways = app.federation.with_role(Role.GATEWAY)
    if not gateways:
        return "", {}
    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    ca = app.home.authority / "ca.pem"
    have = [k for k in ledger.list_keys() if k.name != SMOKE_KEY and k.state(app.now()) == "active"]
    if new_key or not have:
        key, record = ledger.issue(FIRST_KEY, actor(), SCOPES, None, None)
        work.note(f"issued the key {record.id}")
        try:
            answer = app.parts.complete(app.federation, gateways[0], ca, key.reveal())
        except BaseException:
            # Nobody will ever see its text. Were it left, the next run would show none either.
            with suppress(LedgerError):
                ledger.revoke(record.id, "nobody was shown it: fedctl up failed", actor())
            raise
        return key.reveal(), answer
    until = app.now() + SMOKE_LIFETIME
    key, record = ledger.issue(SMOKE_KEY, actor(), SCOPES, None, until)
    try:
        return "", app.parts.complete(app.federation, gateways[0], ca, key.reveal())
    finally:
        ledger.revoke(record.id, "the smoke test is over", actor())
