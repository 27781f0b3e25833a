"""`keys rotate|proof-key|show|explain|simulate`: how a key lives, weakens and is replaced."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import IO, Any

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fedctl.app import App, FedCommand, pass_app
from fedctl.durations import Duration
from fedctl.plot import plot
from fedctl.render import age
from fedctl.work import actor, working
from ledger.key_strength import DEFAULT_OVERLAP, LONGEST_OVERLAP, KeyHistory
from ledger.limits import key_subject
from trust import course
from trust.course import Supposed
from trust.explained import explain as in_words
from trust.parameters import Parameters
from trust.strength import DAY_SECONDS, Misuse, State, idle_days, issued, misuse_points, strength
from trust.strength import usage as usage_score

COLUMNS = 72
PAST_DAYS = 30
MOST_PUBLIC_BYTES = 10_000
MISUSES = {kind.name.lower().replace("_", "-"): kind for kind in Misuse}


@click.command(cls=FedCommand)
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap",
    type=Duration(),
    default=f"{DEFAULT_OVERLAP.days}d",
    show_default=True,
    metavar="DURATION",
    help=f"How long the old key still works; at most {LONGEST_OVERLAP.days}d.",
)
@pass_app
def rotate(app: App, key_id: str, overlap: timedelta) -> None:
    """Replace a key. Its successor is printed on stdout, this once.

    It has the same name, rights and limits (shared until the old key ends), half the old key's
    strength at most, and a new maximum age.
    """
    with working(app, "keys rotate", key_id[:200]) as work:
        ledger = app.parts.open_ledger(app.federation, app.home, app.now)
        key, until = ledger.rotate_key(key_id, overlap, actor())
        work.facts |= {"key_id": key_id, "successor": key.id}
        if app.json:
            value = {
                "key": key.reveal(),
                "id": key.id,
                "replaces": key_id,
                "old_works_until": until,
            }
            app.output.data(value)
            return
        app.output.text(key.reveal())
        when = age(until, app.now())
        app.output.say(f"key {key.id} replaces {key_id}, which ends {when}", style="dim")


@click.command("proof-key", cls=FedCommand)
@click.argument("key_id", metavar="ID")
@click.argument("public", type=click.File("rb"), metavar="FILE")
@pass_app
def proof_key(app: App, key_id: str, public: IO[bytes]) -> None:
    """Register the public key with which a key's holder signs requests (Ed25519, PEM).

    FILE (- for stdin) is what `openssl pkey -pubout` prints; the private half stays with the
    holder. It counts for the key and its successors, in place of the one before. A dormant key
    is served only with such a signature.
    """
    text = public.read(MOST_PUBLIC_BYTES)
    try:
        found = serialization.load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise click.UsageError(f"{public.name} holds no public key in PEM") from error
    if not isinstance(found, Ed25519PublicKey):
        raise click.UsageError(f"{public.name} holds another kind of key than Ed25519")
    with working(app, "keys proof-key", key_id[:200]) as work:
        ledger = app.parts.open_ledger(app.federation, app.home, app.now)
        ledger.set_proof_key(key_id, found, actor())
        work.facts |= {"key_id": key_id, "public_key": found.public_bytes_raw().hex()}
        if app.json:
            app.output.data(work.facts)
        app.output.say(f"signed requests of key {key_id} are checked with it from now on")


@click.command(cls=FedCommand)
@click.argument("key_id", metavar="ID")
@pass_app
def show(app: App, key_id: str) -> None:
    """What a key is, what it may, how strong it is, and when it ends (no secret)."""
    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    history = ledger.key_history(key_id)
    limits = ledger.show_limits(key_subject(key_id))
    now = app.now()
    value = {**_value(history, now), "limits": asdict(limits)}
    if app.json:
        app.output.data(value)
        return
    app.output.table(("field", "value"), [(name, _shown(what)) for name, what in value.items()])


@click.command(cls=FedCommand)
@click.argument("key_id", metavar="ID")
@pass_app
def explain(app: App, key_id: str) -> None:
    """Why a key has its tier, in words, and how its strength went over the last 30 days."""
    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    history = ledger.key_history(key_id)
    moment = app.now().timestamp()
    told = in_words(history.state, moment, history.volume)
    points = course.past(history.state, moment, PAST_DAYS, COLUMNS)
    if app.json:
        app.output.data({**_value(history, app.now()), "explanation": told, "past": points})
        return
    app.output.text(told)
    app.output.text("")
    app.output.text(_plot(history.state, [value for _, value in points], points[0][0], moment))


@click.command(cls=FedCommand)
@click.option("--key", "key_id", metavar="ID", help="Begin as this key is now (default: new).")
@click.option(
    "--days",
    type=click.IntRange(1, 400),
    default=60,
    show_default=True,
    help="How far to look.",
)
@click.option(
    "--hours-a-day", type=click.IntRange(0, 24), default=8, show_default=True,
    help="Hours in which it works, on each day until --until-day.",
)  # fmt: skip
@click.option(
    "--until-day",
    type=click.IntRange(0, 400),
    default=0,
    show_default=True,
    help="The day on which it stops working; 0: it never does any.",
)
@click.option(
    "--misuse", "misuses", multiple=True, metavar="DAY:KIND",
    help=f"A day with an hour of misuse. Kinds: {', '.join(MISUSES)}.",
)  # fmt: skip
@pass_app
def simulate(
    app: App,
    key_id: str | None,
    days: int,
    hours_a_day: int,
    until_day: int,
    misuses: tuple[str, ...],
) -> None:
    """How a key's strength would go. Changes nothing.

    Without options: a new key that nobody uses.
    """
    supposed = Supposed(hours_a_day, until_day, tuple(map(_misuse, misuses)))
    moment = app.now().timestamp()
    if key_id is None:
        state = issued(moment, frozenset({"inference"}), Parameters())
    else:
        ledger = app.parts.open_ledger(app.federation, app.home, app.now)
        state = ledger.key_history(key_id).state
    points = list(course.future(state, moment, days, supposed))
    changes = [
        {"day": round((point.seconds - moment) / DAY_SECONDS, 1), "tier": point.tier.name.lower(),
         "strength": round(point.strength, 1)}
        for before, point in pairwise(points)
        if before.tier is not point.tier
    ]  # fmt: skip
    if app.json:
        daily = [round(point.strength, 2) for point in points[::24]]
        begins = points[0].tier.name.lower()
        app.output.data({"begins": begins, "changes": changes, "strength": daily})
        return
    step = max(1, len(points) // COLUMNS)
    values = [point.strength for point in points[::step]]
    app.output.text(_plot(state, values, moment, points[-1].seconds))
    app.output.text("")
    first = ("0.0", points[0].tier.name.lower(), f"{points[0].strength:.1f}")
    rows = [(str(each["day"]), str(each["tier"]), str(each["strength"])) for each in changes]
    app.output.table(("day", "tier", "strength"), [first, *rows])


def _misuse(text: str) -> tuple[int, Misuse]:
    day, _, kind = text.partition(":")
    if not day.isdigit() or kind not in MISUSES:
        raise click.BadParameter(f"{text!r} is not DAY:KIND", param_hint="--misuse")
    return int(day), MISUSES[kind]


def _plot(state: State, values: list[float], begins: float, ends: float) -> str:
    parameters = state.parameters
    weak, normal, strong = parameters.falls_below
    return plot(
        values,
        top=parameters.max_strength,
        lines={
            line: f"{name} {line:.0f}"
            for line, name in ((strong, "strong"), (normal, "normal"), (weak, "weak"))
        },
        begins=f"{datetime.fromtimestamp(begins, UTC):%Y-%m-%d}",
        ends=f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}",
    )


def _value(history: KeyHistory, now: datetime) -> dict[str, Any]:
    state, moment = history.state, now.timestamp()
    return {
        "id": history.key_id,
        "name": history.name,
        "tenant": history.tenant,
        "state": "revoked" if state.revoked else "expired" if history.ends_at <= now else "active",
        "tier": state.tier.name.lower(),
        "strength": round(strength(state, moment), 1),
        "idle_days": round(idle_days(state, moment), 1),
        "usage": round(usage_score(state, moment), 2),
        "misuse_points": round(misuse_points(state, moment), 2),
        "scopes": list(state.scopes),
        "ends_at": history.ends_at,
        "replaces": history.replaces,
        "replaced_by": history.replaced_by,
        "parameters": state.parameters.version,
        "next_look": history.unchanged_until,
    }


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, dict):
        return " ".join(f"{name}={number}" for name, number in value.items() if number is not None)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return "-" if value is None else str(value)
