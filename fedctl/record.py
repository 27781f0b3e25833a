"""What the ledger is told about a run: made at its end, sent when the ledger answers.

An event is first written into the run's folder, so that nothing is lost while Postgres is not
there yet or not reachable; every later run sends what waits. Sending twice is harmless: the id is
made once and the ledger keeps one event an id.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fedctl import runs
from fedctl.app import App
from fedctl.render import plain
from fedctl.runs import Run
from ledger.errors import Conflict, EventInvalid, LedgerError
from ledger.event import Event
from ledger.identifiers import Sequence
from trust.errors import TrustError

IDS = Sequence()
# Facts that are for the summary alone: long, or for the person at the terminal.
NOT_RECORDED = frozenset({"key", "completion", "pending"})
LONGEST = 4000
UNFIT = re.compile("[\x00\ud800-\udfff]")


def event_of(
    *,
    command: str,
    subject: str,
    actor: str,
    node: str,
    run: str,
    code: int,
    now: datetime,
    started: datetime,
    facts: Mapping[str, Any],
) -> Event:
    """The event of a run that ended with exit code `code`."""
    data = {key: _fit(plain(value)) for key, value in facts.items() if key not in NOT_RECORDED}
    return Event(
        id=IDS.next(),
        time=now,
        node=node,
        actor=actor,
        kind=f"fedctl.{command.replace(' ', '.').replace('-', '_')}",
        subject=subject[:200],
        data={
            **data,
            "run": run,
            "exit_code": code,
            "milliseconds": round((now - started).total_seconds() * 1000),
        },
    )


def _fit(value: Any) -> Any:
    """The value as the ledger can hold it: what a node printed may be anything, and any length."""
    if isinstance(value, dict):
        return {key: _fit(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fit(item) for item in value]
    if isinstance(value, str):
        return UNFIT.sub("\N{REPLACEMENT CHARACTER}", value)[:LONGEST]
    return value


def keep(run: Run, event: Event) -> None:
    """Write the event into the run's folder, to be sent."""
    try:
        run.write(runs.EVENT, event.canonical().decode())
    except EventInvalid as error:
        run.log(f"the ledger's event could not be made: {error}")


def send_waiting(app: App, log: Callable[[str], None]) -> int:
    """Send every event that waits; how many went. Never raises for the ledger's sake."""
    waiting = []
    for folder in runs.unsent(app.home.runs):
        try:
            waiting.append((folder, Event.parse((folder / runs.EVENT).read_bytes())))
        except (EventInvalid, OSError, json.JSONDecodeError) as error:
            log(f"{folder.name}: its event cannot be sent: {error}")
    if not waiting:
        return 0
    try:
        app.parts.open_ledger(app.federation, app.home, app.now).record([e for _, e in waiting])
    except Conflict as error:
        log(f"the ledger refused an event: {error}")
        return 0
    except (LedgerError, TrustError) as error:
        log(f"{len(waiting)} events wait for the ledger: {error}")
        app.output.warn(
            f"the ledger could not be told about {_count(len(waiting))}; the next run sends it "
            f"({str(error).splitlines()[0]})"
        )
        return 0
    for folder, _ in waiting:
        (folder / runs.SENT).touch()
    return len(waiting)


def _count(number: int) -> str:
    return "this run" if number == 1 else f"{number} runs"
