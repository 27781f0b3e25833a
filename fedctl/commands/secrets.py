"""`secrets list|rotate|audit`: what is kept, replacing it, and what is kept wrongly."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text

from deploys.own_secrets import store_of
from deploys.secret_catalog import FILES, KNOWN, STORED, Known, file_path, plain_path
from fedctl import remote
from fedctl.app import App, FedGroup, pass_app
from fedctl.errors import ChecksFailed, Refused
from fedctl.remote import Links
from fedctl.render import BAD, DOUBTFUL, GOOD, age
from fedctl.secret_audit import HERE, Finding, at_operator, on_node
from fedctl.secret_turns import turn
from fedctl.selecting import on_option
from fedctl.work import working


@click.group(cls=FedGroup)
def secrets() -> None:
    """The operator's secrets: encrypted at the operator, sealed to each node that uses them."""


@secrets.command("list")
@pass_app
def list_(app: App) -> None:
    """Every secret by name: what it is, how old, how it is kept, who uses it. Never a value."""
    entries = [_stored(app, known) for known in STORED] + [_file(app, known) for known in FILES]
    if app.json:
        app.output.data(entries)
        return
    styles = {"encrypted": GOOD, "not made yet": DOUBTFUL, "in plain text": BAD}
    rows = [
        (each["name"], each["kind"], age(each["made"], app.now()) if each["made"] else "-",
         Text(each["kept"], styles.get(each["kept"], "")), each["used_by"],
         "rotate" if each["can_rotate"] else "-")
        for each in entries
    ]  # fmt: skip
    app.output.table(("name", "kind", "made", "kept", "used by", "command"), rows)


def _stored(app: App, known: Known) -> dict[str, Any]:
    store = store_of(app.home)
    plain = plain_path(app.home, known.name)
    kept, made = "not made yet", None
    if store.path(known.name).exists():
        kept, made = "encrypted", store.opened(known.name).made
    if plain.exists():
        kept, made = "in plain text", _modified(plain.stat().st_mtime)
    return _entry(known, made, kept)


def _file(app: App, known: Known) -> dict[str, Any]:
    path = file_path(app.home, known.name)
    if not path.exists():
        return _entry(known, None, "not made yet")
    return _entry(known, _modified(path.stat().st_mtime), f"file {path}")


def _entry(known: Known, made: datetime | None, kept: str) -> dict[str, Any]:
    return {
        "name": known.name,
        "kind": known.kind,
        "made": made,
        "kept": kept,
        "used_by": known.used_by,
        "due_days": known.due_days,
        "can_rotate": not known.refusal,
    }


def _modified(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@secrets.command()
@click.argument("name", type=click.Choice(list(KNOWN)), metavar="NAME")
@click.option("--undo", is_flag=True, help="Go back to the one before (key-pepper, authority-key).")
@pass_app
def rotate(app: App, name: str, undo: bool) -> None:
    """Replace a secret by a new one, everywhere it is used.

    \b
    identity          everything in the store is encrypted to a new identity; copy it anew
    operator          a new client key and certificate; the old certificate ends within 30 days
    operator-signing  a new key; the guardian refuses fedctl until the next apply tells it
    chat-key          the key's successor; the old one works for an hour longer
    key-pepper        new keys are hashed under a new pepper, which gateways get first; the old one
                      is dropped when no working key uses it: run it again then
    authority-key     in three runs: every node trusts a new authority too; it signs every node's
                      certificate; the old one is dropped. Each run says what to do next
    webhook-secret    after the next apply notices are signed with the new one and the one until
                      now; the rotation after this one ends that

    Cut off anywhere, everything works and the same command goes on. The others are refused, each
    with the reason and what can be done.
    """
    if KNOWN[name].refusal:
        raise Refused(f"{name} cannot be replaced by a command", KNOWN[name].refusal)
    with working(app, "secrets rotate", name) as work:
        said = turn(work, name, undo=undo)
    if app.json:
        app.output.data({"rotated": name, "undo": undo, "run": work.run.id, **work.facts})
    app.output.say(said)


@secrets.command()
@click.option("--here", is_flag=True, help="Look at this computer only, not at nodes.")
@on_option
@pass_app
def audit(app: App, here: bool, on: Sequence[str]) -> None:
    """Look for secrets in plain text, open to others, overdue or in a wrong place.

    Here every file of the federation's folder is searched for keys and for the values of the store;
    on each Linux node the configuration, the state of our services and their sealed credentials.
    Exit code 1 says that something was found, 6 that a node could not be asked.
    """
    found = list(at_operator(app.home, app.now()))
    nodes = () if here else app.linux(tuple(on))
    with Links(app.parts.connect, app.federation, app.home) as links:
        answers = links.ask(nodes, on_node)
        failure = remote.worst(links.failed)
    found += [finding for findings in answers.values() for finding in findings]
    _show(app, found, [HERE, *answers])
    if found:
        raise ChecksFailed(f"{len(found)} findings", found[0].advice)
    if failure is not None:
        raise failure


def _show(app: App, found: Sequence[Finding], looked: Sequence[str]) -> None:
    if app.json:
        app.output.data({"looked_at": looked, "findings": found})
        return
    if found:
        rows = [(each.where, each.path, Text(each.what, BAD), each.advice) for each in found]
        app.output.table(("where", "path", "what", "what to do"), rows)
    else:
        app.output.say(f"nothing is kept wrongly on {', '.join(looked)}", GOOD)
