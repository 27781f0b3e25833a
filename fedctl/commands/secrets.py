"""`secrets list|rotate|audit|lend|ssh-key`: what is kept, replacing it, what is kept wrongly, and
using the two keys that other programs want by path.
"""

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.text import Text

from deploys.authority import OPERATOR, operator_pair
from deploys.node_keys import NODE_KEYS, SEQUENCER, NodeKeys
from deploys.own_secrets import store_of
from deploys.secret_catalog import KNOWN, OPENS_THEM, STORED, Known, plain_path
from deploys.witnesses import nodes_of
from fedctl import remote
from fedctl.app import App, FedGroup, pass_app
from fedctl.errors import ChecksFailed, MissingPart, Refused, RemoteExit
from fedctl.interrupts import INTERRUPTS
from fedctl.remote import Links
from fedctl.render import BAD, DOUBTFUL, GOOD, age
from fedctl.secret_audit import HERE, Finding, at_operator, on_node
from fedctl.secret_turns import turn
from fedctl.selecting import on_option
from fedctl.work import working
from inventory.model import Node, Role
from trust import operator_ssh
from trust.operator_ssh import SSH


@click.group(cls=FedGroup)
def secrets() -> None:
    """The operator's secrets: encrypted at the operator, sealed to each node that uses them."""


@secrets.command("list")
@pass_app
def list_(app: App) -> None:
    """Every secret by name: what it is, how old, how it is kept, who uses it. Never a value."""
    entries = [*(_stored(app, known) for known in STORED), _identity(app)]
    entries += [_on_node(app, keys, node) for keys in NODE_KEYS for node in _havers(app, keys)]
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


def _identity(app: App) -> dict[str, Any]:
    path = app.home.identity
    if not path.exists():
        return _entry(OPENS_THEM, None, "not made yet")
    return _entry(OPENS_THEM, _modified(path.stat().st_mtime), f"file {path}")


def _havers(app: App, keys: NodeKeys) -> list[Node]:
    """The nodes that make themselves such a key."""
    role = Role.DATA if keys is SEQUENCER else None
    return [node for node in nodes_of(app.federation) if role is None or node.has(role)]


def _on_node(app: App, keys: NodeKeys, node: Node) -> dict[str, Any]:
    path = keys.path(app.home, node)
    made = _modified(path.stat().st_mtime) if path.exists() else None
    kept = f"sealed on {node.name}" if made else "not made yet"
    return {**_entry(KNOWN[keys.credential], made, kept), "node": node.name}


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


@secrets.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", type=click.Choice([OPERATOR, SSH]), metavar="NAME")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_app
def lend(app: App, name: str, command: Sequence[str]) -> None:
    """Run COMMAND with the path of a private key in place of each {}.

    \b
    operator   the client key; its certificate is authority/operator.pem
    ssh        the SSH key

    The file is in memory, and gone when COMMAND ends, whose exit code is fedctl's:

    \b
    fedctl secrets lend operator -- curl --cert operator.pem --key {} https://...
    """
    if not any("{}" in word for word in command):
        raise click.UsageError("COMMAND has no {}: write it where the key's path belongs")
    if name == OPERATOR:
        path = operator_pair(app.home, app.now())[0]
    else:
        path = operator_ssh.lent_path(app.home)
    argv = [word.replace("{}", str(path)) for word in command]
    try:
        code = _run(argv)
    except OSError as error:
        raise MissingPart(f"{command[0]} cannot be run: {error.strerror}") from error
    if code != 0:
        raise RemoteExit(code if code > 0 else 128 - code, "")


def _run(argv: Sequence[str]) -> int:
    """Run a program of this computer, which ends when we do; its exit status."""
    process: subprocess.Popen[bytes] | None = None
    with INTERRUPTS.active():
        try:
            with INTERRUPTS.shielded():
                process = subprocess.Popen(argv)
            return process.wait()
        finally:
            if process is not None:
                process.kill()
                process.wait()


@secrets.command("ssh-key")
@pass_app
def ssh_key(app: App) -> None:
    """Show the public half of the operator's SSH key, which is made if there is none.

    It goes into ~/.ssh/authorized_keys of each machine's first user, before `fedctl bootstrap`.
    """
    public = operator_ssh.ensure(app.home, f"operator of {app.federation.name}")
    if app.json:
        app.output.data({"public": public})
    else:
        app.output.text(public)


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
