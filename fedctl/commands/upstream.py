"""`upstream list|drain|enable`: the engines as gateways see them, and which are in rotation."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import click
from rich.text import Text

from fedctl import engines
from fedctl.app import App, FedGroup, pass_app
from fedctl.durations import Duration
from fedctl.engines import Engine, View
from fedctl.errors import NotHealthy, Refused
from fedctl.render import BAD, DIM, DOUBTFUL, GOOD, age
from fedctl.work import Work, actor, working

STYLES = {"healthy": GOOD, "unhealthy": BAD, "breaker_open": BAD, "draining": DOUBTFUL}
# Gateways follow within a second; more than that is worth a word.
FOLLOW_SECONDS = 5.0
POLL_SECONDS = 0.2
DEFAULT_WITHIN = "1h"


@click.group(cls=FedGroup)
def upstream() -> None:
    """Engines behind the gateways: how they are, and taking them out of rotation."""


@upstream.command("list")
@pass_app
def list_(app: App) -> None:
    """Every engine of every gateway: state, requests that run and wait, last failure."""
    views = _views(app)
    if app.json:
        app.output.data(views)
    else:
        app.output.table(
            ("gateway", "engine", "models", "state", "since", "running", "waiting", "last failure"),
            [_row(view.gateway, engine, app.now()) for view in views for engine in view.engines],
        )
        _warn_of_the_silent(app, views)
    if all(view.error for view in views):
        raise NotHealthy("no gateway answers", "fedctl status")


@upstream.command()
@click.argument("name")
@click.option("--reason", default="maintenance", show_default=True, help="For the record.")
@click.option("--wait", is_flag=True, help="Return when no request runs there any more.")
@click.option(
    "--within",
    type=Duration(),
    default=DEFAULT_WITHIN,
    show_default=True,
    metavar="DURATION",
    help="How long --wait may take: 12h, 1d.",
)
@pass_app
def drain(app: App, name: str, reason: str, wait: bool, within: timedelta) -> None:
    """Send the engine NAME no new requests, from any gateway, until `enable`.

    What runs there may finish; new requests go to other engines. With no other engine left for a
    model its requests get 503, and that is asked about first. Gateways follow within a second, and
    remember it over restarts. It is kept in the ledger: without it nothing is changed.
    """
    views = _views(app)
    _check(app, views, name)
    if lost := engines.left_without(views, name):
        models = " ".join(lost)
        app.confirm(f"Nobody else serves {models}: its requests will get 503. Drain {name}?")
    with working(app, "upstream drain", name) as work:
        ledger = app.parts.open_ledger(app.federation, app.home, app.now)
        ledger.set_drained(name, True, reason, actor())
        work.facts |= {"upstream": name, "reason": reason, "left_without": list(lost)}
        views = _followed(work, name, drained=True)
        if wait:
            views = _empty(work, name, within.total_seconds())
        _report(app, name, "drained", views)


@upstream.command()
@click.argument("name")
@click.option("--reason", default="back in rotation", show_default=True, help="For the record.")
@pass_app
def enable(app: App, name: str, reason: str) -> None:
    """Send the engine NAME new requests again, from every gateway."""
    _check(app, _views(app), name)
    with working(app, "upstream enable", name) as work:
        ledger = app.parts.open_ledger(app.federation, app.home, app.now)
        ledger.set_drained(name, False, reason, actor())
        work.facts |= {"upstream": name, "reason": reason}
        _report(app, name, "enabled", _followed(work, name, drained=False))


def _views(app: App) -> tuple[View, ...]:
    return app.parts.reach_gateways(app.federation, app.home, app.now).look()


def _check(app: App, views: Sequence[View], name: str) -> None:
    """Refuse a name that no gateway has; without any gateway the inventory's nodes count."""
    known = engines.known(views) or {node.name for node in app.federation.nodes}
    if name not in known:
        raise Refused(
            f"no gateway has an engine {name[:60]!r}", f"known: {' '.join(sorted(known))}"
        )


def _followed(work: Work, name: str, *, drained: bool) -> tuple[View, ...]:
    """Wait until every gateway that answers does as the ledger says."""

    def behind(views: Sequence[View]) -> str:
        late = engines.lagging(views, name, drained=drained)
        return f"not followed by {' '.join(late)}" if late else ""

    views = _until(work.app, behind, FOLLOW_SECONDS, "fedctl logs gateway")
    _warn_of_the_silent(work.app, views)
    work.facts["followed"] = [v.gateway for v in views if not v.error]
    work.facts["silent"] = [v.gateway for v in views if v.error]
    return views


def _empty(work: Work, name: str, seconds: float) -> tuple[View, ...]:
    """Wait until nothing runs in the engine; a gateway that is silent may still have something."""

    def busy(views: Sequence[View]) -> str:
        count = engines.running(views, name)
        silent = [view.gateway for view in views if view.error]
        told = f", and {' '.join(silent)} cannot be asked" if silent else ""
        return f"{count} requests run in {name}{told}" if count or silent else ""

    advice = f"{name} stays drained; wait again: fedctl upstream drain {name} --wait"
    return _until(work.app, busy, seconds, advice)


def _until(
    app: App, wrong: Callable[[Sequence[View]], str], seconds: float, advice: str
) -> tuple[View, ...]:
    """Look until nothing is wrong; raises NotHealthy with what is, after `seconds`."""
    end = time.monotonic() + seconds
    while why := wrong(views := _views(app)):
        if time.monotonic() > end:
            raise NotHealthy(f"after {seconds:.0f} s: {why}", advice)
        time.sleep(POLL_SECONDS)
    return views


def _report(app: App, name: str, what: str, views: Sequence[View]) -> None:
    count = engines.running(views, name)
    if app.json:
        app.output.data({"upstream": name, "state": what, "running": count, "gateways": views})
        return
    gateways = " ".join(view.gateway for view in views if not view.error)
    app.output.say(
        f"{name} is {what} on {gateways or 'no gateway yet'}; {count} requests run there"
    )


def _warn_of_the_silent(app: App, views: Sequence[View]) -> None:
    for view in views:
        if view.error:
            app.output.warn(f"{view.gateway} cannot be asked: {view.error}")


def _row(gateway: str, engine: Engine, now: datetime) -> list[str | Text]:
    failure: Any = "-"
    if engine.failed_why is not None and engine.failed_at is not None:
        failure = f"{engine.failed_why}, {age(engine.failed_at, now)}"
    state = Text(engine.state.replace("_", " "), style=STYLES.get(engine.state, DIM))
    if engine.drained_by:
        state.append(f" ({engine.drained_reason}, {engine.drained_by})", style=DIM)
    return [
        gateway,
        engine.name,
        " ".join(engine.models) or "-",
        state,
        age(engine.since, now),
        str(engine.running),
        str(engine.waiting),
        failure,
    ]
