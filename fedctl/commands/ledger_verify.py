"""`ledger verify|proof|check-proof|policy`: is the log the one everybody saw, and is this in it?"""

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from fedctl.app import App, FedCommand, pass_app
from fedctl.commands.ledger_events import EventName, found_event, with_log
from fedctl.errors import ChecksFailed, TooFewWitnesses
from fedctl.log_access import federation_policy
from fedctl.log_verify import Verified, verify_log
from fedctl.render import BAD, seconds
from ledger import search, tlog_proof
from ledger.errors import PolicyInvalid
from ledger.findings import Progress
from ledger.policy import Policy
from ledger.tlog_proof import SUFFIX, Proof, Proven

TELL_SECONDS = 5.0


@click.command(cls=FedCommand)
@click.option("--full", is_flag=True, help="From the first event on, not from the last good end.")
@click.option(
    "--no-witnesses", is_flag=True, help="Ask no witness: a history that was replaced goes unseen."
)
@pass_app
def verify(app: App, full: bool, no_witnesses: bool) -> None:
    """Rebuild the log's tree from its bytes and compare it with all that was signed of it.

    Without --full it begins where the last good verification ended. The first event that is wrong
    is named, with what is wrong. Exit code 1: something was found. 6: all fits together, but too
    few witnesses answered to say that it is the log they saw.
    """
    access = app.parts.reach_log(app.federation, app.home, app.now)
    begun = time.monotonic()
    done = asyncio.run(
        verify_log(access, full=full, with_witnesses=not no_witnesses, tell=_teller(app, begun))
    )
    if done.forgotten:
        app.output.warn(f"{done.forgotten}; everything was verified")
    if app.json:
        app.output.data(_value(done, time.monotonic() - begun))
    else:
        _show(app, done, time.monotonic() - begun)
    _judge(done, no_witnesses=no_witnesses)


def _judge(done: Verified, *, no_witnesses: bool) -> None:
    first = done.report.first
    if first is not None:
        raise ChecksFailed(
            f"the log is not what it was: {first}",
            "docs/how-to/verify-the-ledger.md says what each finding means and what to do",
        )
    if not no_witnesses and len(done.said) < done.needed:
        raise TooFewWitnesses(
            f"{len(done.said)} witnesses answered, {done.needed} are needed to know that this is "
            "the log they saw",
            "bring the witnesses back: fedctl status; or --no-witnesses",
        )


@click.command(cls=FedCommand)
@click.argument("event", type=EventName())
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Where to write it (default: the event's id and .tlog-proof, here).",
)  # fmt: skip
@pass_app
def proof(app: App, event: str, output: Path | None) -> None:
    """Write a proof that EVENT (an id or a number) is in the log, to be checked by anybody.

    The file holds the event, its way up the tree, and a checkpoint that the log signed and more
    than half of the witnesses cosigned. `fedctl ledger check-proof` needs nothing else but keys.
    """
    found = found_event(app, event)
    rule = app.parts.reach_log(app.federation, app.home, app.now).policy
    made = with_log(app, lambda connection: search.prove(connection, found, rule))
    path = output or Path(f"{found.event.id}{SUFFIX}")
    path.write_bytes(made.encode())
    shown = tlog_proof.check(made, rule)
    if app.json:
        app.output.data({"file": path, "proof": _proven(shown)})
        return
    app.output.text(str(path))
    app.output.say(_words(shown))


@click.command("check-proof", cls=FedCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--policy", "policy_file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE", help="Whom to believe (C2SP tlog-policy; default: this federation's keys).",
)  # fmt: skip
@pass_app
def check_proof(app: App, file: Path, policy_file: Path | None) -> None:
    """Check a proof with public keys alone: no machine of the federation is asked.

    Prints the event it proves. Keys are those pinned in the operator's home, or those of a policy
    file as `fedctl ledger policy` writes it.
    """
    if policy_file is None:
        rule = federation_policy(app.federation, app.home)
    else:
        try:
            rule = Policy.parse(policy_file.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise PolicyInvalid(f"{policy_file} is no text") from error
    # One byte more than a proof can have tells that a file is too large without reading it all.
    with file.open("rb") as stream:
        content = stream.read(tlog_proof.MAX_BYTES + 1)
    shown = tlog_proof.check(Proof.parse(content), rule)
    if app.json:
        app.output.data(_proven(shown))
        return
    app.output.text(content_of(shown))
    app.output.say(_words(shown))


@click.command(cls=FedCommand)
@pass_app
def policy(app: App) -> None:
    """Print whom this federation believes about its log, for those who check its proofs.

    The log's public key and the witnesses' (C2SP tlog-policy). Whoever gets it must get it from
    you, not with the proof.
    """
    text = federation_policy(app.federation, app.home).text()
    if app.json:
        app.output.data({"policy": text})
        return
    app.output.text(text.rstrip("\n"))


def _teller(app: App, begun: float) -> Any:
    """Progress to the person: on a terminal or off it, a line every few seconds."""
    last = begun

    def tell(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < TELL_SECONDS:
            return
        last = now
        share = 100 * progress.done // max(progress.end, 1)
        app.output.say(f"{progress.done:,} of {progress.end:,} events ({share} %)", style="dim")

    return tell


def _show(app: App, done: Verified, took: float) -> None:
    report = done.report
    rows = [(f.place, f.fault.value.replace("_", " "), f.text) for f in report.findings]
    if rows:
        app.output.table(("where", "what", "details"), rows)
    for node, why in done.silent.items():
        app.output.warn(f"the witness on {node} was not heard: {why}")
    if not report.ok:
        return
    what = f"{report.size:,} events"
    if done.quick and report.start:
        what = f"{report.size - report.start:,} new of {report.size:,} events"
    signed = f"signed up to {report.signed_size:,}"
    app.output.text(
        f"{what} verified, root {report.root.hex()}, {signed}, {report.checkpoints:,} checkpoints"
    )
    for each in done.said:
        when = datetime.fromtimestamp(each.cosigned_at, UTC)
        seen = f"{each.seen.size:,} events, last cosigned {when:%Y-%m-%d %H:%M:%S}Z"
        app.output.text(f"{each.place}: {seen if each.cosigned_at else 'nothing yet'}")
    anybody = [each.witness for each in done.said if not each.callers]
    if anybody:
        who = "the witnesses on" if len(anybody) > 1 else "the witness on"
        app.output.warn(
            f"{who} {', '.join(anybody)} take checkpoints from whoever has a certificate, signed "
            "by a sequencer or not: fedctl apply"
        )
    app.output.say(f"{seconds(took)}; nothing is wrong", style="" if report.ok else BAD)


def _value(done: Verified, took: float) -> dict[str, Any]:
    return {
        **done.report.value(),
        "quick": done.quick,
        "seconds": round(took, 3),
        "witnesses": {
            each.witness: {
                "events": each.seen.size,
                "cosigned_at": each.cosigned_at,
                "callers": each.callers,
            }
            for each in done.said
        },
        "silent": done.silent,
        "needed": done.needed,
    }


def content_of(shown: Proven) -> str:
    """The event, for a person."""
    return shown.event.canonical().decode()


def _proven(shown: Proven) -> dict[str, Any]:
    return {
        "event": json.loads(content_of(shown)),
        "seq": shown.index,
        "size": shown.size,
        "root": shown.root.hex(),
        "log": shown.standing.log,
        "cosigned": dict(shown.standing.cosigned),
    }


def _words(shown: Proven) -> str:
    who = ", ".join(sorted(shown.standing.cosigned)) or "no witness"
    return f"event {shown.index} of {shown.size:,} in {shown.standing.log}, cosigned by {who}"
