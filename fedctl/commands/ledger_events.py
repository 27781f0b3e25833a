"""`ledger tail|show|search`: what the log says, for people and for programs."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import click

from fedctl.app import App, FedCommand, pass_app
from fedctl.errors import NoSuchEvent
from ledger import search as reading
from ledger.connect import Connection, connect
from ledger.errors import EventInvalid
from ledger.search import Filter, Logged

T = TypeVar("T")
POLL_SECONDS = 1.0
_AGO = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType[str]):
    """`2026-11-21`, `2026-11-21T05:00:00Z`, or how long ago: `90m`, `2h`, `7d`."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Only whether it can be read: what it means depends on the time."""
        try:
            moment_of(value, datetime.now(UTC))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a time like 2026-11-21T05:00 nor 2h or 7d", param, ctx)
        return str(value)


class EventName(click.ParamType[str]):
    """An event's id or its number in the log."""

    name = "event"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """A UUID or a number."""
        try:
            event_of(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither an event's id nor a number", param, ctx)
        return str(value)


def event_of(text: str) -> UUID | int:
    """The id or number in `text`; raises ValueError."""
    if text.isascii() and text.isdecimal():
        if len(text) > 18:
            raise ValueError("no log is that long")
        return int(text)
    return UUID(text)


def moment_of(text: str, now: datetime) -> datetime:
    """The time in `text` (UTC unless it says otherwise), or that long before `now`."""
    match = _AGO.fullmatch(text)
    if match is not None:
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def with_log(app: App, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Do `work` over one connection to the log."""
    access = app.parts.reach_log(app.federation, app.home, app.now)

    async def run() -> T:
        async with await connect(access.settings) as connection:
            return await work(connection)

    return asyncio.run(run())


def found_event(app: App, text: str) -> Logged:
    """The event called `text`; raises NoSuchEvent."""
    found = with_log(app, lambda connection: reading.find(connection, event_of(text)))
    if found is None:
        advice = "an event that was just written gets its number within a second"
        raise NoSuchEvent(f"the log has no event {text}", advice)
    return found


@click.command(cls=FedCommand)
@click.option("-n", "--number", type=click.IntRange(1, 10_000), default=20, show_default=True,
              help="How many.")  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on as events are logged, until Ctrl-C.")
@pass_app
def tail(app: App, number: int, follow: bool) -> None:
    """The newest events, oldest first, one a line."""

    async def work(connection: Connection) -> None:
        found = await reading.matching(connection, Filter(), limit=number)
        last = found[-1].seq if found else -1
        _lines(app, found)
        while follow:
            await asyncio.sleep(POLL_SECONDS)
            more = await reading.following(connection, Filter(), above=last)
            _lines(app, more)
            last = more[-1].seq if more else last

    with_log(app, work)


@click.command(cls=FedCommand)
@click.argument("event", type=EventName())
@pass_app
def show(app: App, event: str) -> None:
    """One event, whole. EVENT is its id or its number."""
    found = found_event(app, event)
    if app.json:
        app.output.data(value(found))
        return
    app.output.text(json.dumps(value(found)["event"], indent=2, ensure_ascii=False))
    app.output.say(f"number {found.seq}, in the log since {found.sequenced_at:%Y-%m-%d %H:%M:%S}Z")


@click.command(cls=FedCommand)
@click.option("--kind", help="This kind and those below it: deploy means deploy.applied too.")
@click.option("--subject", help="A part of the subject.")
@click.option("--actor", help="Who did it.")
@click.option("--node", help="Where.")
@click.option("--since", type=Moment(), help="Not before: 2026-11-21, or 2h ago, or 7d.")
@click.option("--until", type=Moment(), help="Before this time.")
@click.option("-n", "--number", type=click.IntRange(1, 10_000), default=100, show_default=True,
              help="How many at most, the newest.")  # fmt: skip
@pass_app
def search(
    app: App,
    number: int,
    kind: str | None,
    subject: str | None,
    actor: str | None,
    node: str | None,
    since: str | None,
    until: str | None,
) -> None:
    """Events that match all that is given, oldest first, one a line."""
    begin, end = (moment_of(text, app.now()) if text else None for text in (since, until))
    filters = Filter(kind, subject, actor, node, begin, end)
    found = with_log(app, lambda connection: reading.matching(connection, filters, limit=number))
    _lines(app, found)
    if len(found) == number:
        app.output.say(f"the newest {number}; there may be more (-n)", style="dim")
    elif not found and not app.json:
        app.output.say("no event matches")


def value(found: Logged) -> dict[str, Any]:
    """An event as JSON: its number, when it was numbered, itself."""
    try:
        event: Any = json.loads(found.body)
    except ValueError:
        event = None
    return {"seq": found.seq, "sequenced_at": found.sequenced_at, "event": event}


def _lines(app: App, events: list[Logged]) -> None:
    for found in events:
        if app.json:
            app.output.line(value(found))
            continue
        try:
            event = found.event
        except EventInvalid as error:
            app.output.text(f"{found.seq:>8}  not an event: {error}")
            continue
        app.output.text(
            f"{found.seq:>8}  {event.time:%Y-%m-%d %H:%M:%S}Z  {event.kind}  {event.subject}  "
            f"({event.actor} on {event.node})"
        )
