"""`lab ...`: the six systemd machines on this computer."""

import os
import shutil

import click

from fedctl import runs
from fedctl.app import App, FedGroup, pass_app
from fedctl.commands.deploying import retire_keys
from fedctl.errors import RemoteExit
from fedctl.selecting import NodeName
from fedctl.work import working
from inventory.home import Home
from inventory.model import Node


@click.group(cls=FedGroup)
@pass_app
def lab(app: App) -> None:
    """Six real systemd machines on this computer, to try everything on.

    They survive `down` and a reboot of this computer; `reset` makes one bare again, `clean` all.
    """
    del app


node_argument = click.argument("node", type=NodeName())
any_node_argument = click.argument("node", type=NodeName(), required=False)
other_argument = click.argument("other", type=NodeName(), required=False)


@lab.command()
@pass_app
def up(app: App) -> None:
    """Boot the machines; the first time, make them (bare, with SSH)."""
    app.lab_only("lab up")
    with working(app, "lab up", tell_ledger=False) as work:
        functions = app.parts.lab()
        functions.install_requirements(work.progress)
        started = functions.up(app.federation, app.home, work.progress)
        work.facts["started"] = list(started)
    _report(app, "started", started)


@lab.command()
@pass_app
def down(app: App) -> None:
    """Stop the machines and remove the network; what they hold is kept."""
    app.lab_only("lab down")
    with working(app, "lab down", tell_ledger=False) as work:
        stopped = app.parts.lab().down(app.federation, app.home, work.progress)
        work.facts["stopped"] = list(stopped)
    _report(app, "stopped", stopped)


@lab.command()
@pass_app
def status(app: App) -> None:
    """How the machines are, as the kernel and they themselves tell it."""
    app.lab_only("lab status")
    found = app.parts.lab().status(app.federation, app.home)
    if app.json:
        app.output.data(found)
        return
    app.output.table(
        ("node", "address", "running", "system", "ssh", "cut"),
        [
            (
                seen.name,
                str(seen.address),
                "yes" if seen.running else "off" if seen.made else "not made",
                seen.system,
                "yes" if seen.ssh else "no",
                " ".join(seen.cut),
            )
            for seen in found
        ],
    )


@lab.command()
@node_argument
@pass_app
def shell(app: App, node: str) -> None:
    """A root shell inside NODE, whatever its network is like."""
    app.lab_only("lab shell")
    code = app.parts.lab().shell(app.federation, app.home, app.federation.node(node))
    if code:
        raise RemoteExit(code, "")


@lab.command("exec", context_settings={"allow_interspersed_args": False})
@node_argument
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@pass_app
def exec_(app: App, node: str, command: tuple[str, ...]) -> None:
    """Run COMMAND as root inside NODE, past its network; its exit code is ours."""
    app.lab_only("lab exec")
    if command and command[0] == "--":
        command = command[1:]
    functions, target = app.parts.lab(), app.federation.node(node)
    if app.json:
        done = functions.run_in(app.federation, app.home, target, command)
        app.output.data(
            {
                "node": node,
                "exit_code": done.exit_code,
                "stdout": done.stdout,
                "stderr": done.stderr,
            }
        )
        code = done.exit_code
    else:
        code = functions.stream_in(app.federation, app.home, target, command)
    if code:
        raise RemoteExit(code, "")


@lab.command()
@node_argument
@click.option("-f", "--follow", is_flag=True, help="Go on as new lines come, until Ctrl-C.")
@click.option("-n", "--lines", default=50, show_default=True, help="How many of the latest lines.")
@pass_app
def logs(app: App, node: str, follow: bool, lines: int) -> None:
    """NODE's journal, read past its network, and also while it is off."""
    app.lab_only("lab logs")
    arguments = [f"--lines={lines}", *(["--follow"] if follow else [])]
    if app.json:
        arguments.append("--output=json")
    argv = app.parts.lab().logs(app.federation, app.home, app.federation.node(node), arguments)
    app.output.out.flush()
    os.execvp(argv[0], argv)  # noqa: S606 - an argument list, no shell wanted


@lab.command()
@node_argument
@pass_app
def kill(app: App, node: str) -> None:
    """Cut NODE's power: every process in it ends at once."""
    app.lab_only("lab kill")
    target = app.federation.node(node)
    app.confirm(f"Cut the power of {node}?")
    with working(app, "lab kill", node, tell_ledger=False):
        killed = app.parts.lab().kill(app.federation, app.home, (target,))
    _report(app, "killed", killed)


@lab.command()
@any_node_argument
@pass_app
def boot(app: App, node: str | None) -> None:
    """Start NODE (or every machine that is off) as it was left."""
    app.lab_only("lab boot")
    with working(app, "lab boot", node or "", tell_ledger=False) as work:
        booted = app.parts.lab().boot(app.federation, app.home, _nodes(app, node), work.progress)
    _report(app, "booted", booted)


@lab.command()
@node_argument
@other_argument
@pass_app
def cut(app: App, node: str, other: str | None) -> None:
    """Take NODE off the network, or NODE and OTHER off each other, as a pulled cable would."""
    app.lab_only("lab cut")
    find = app.federation.node
    with working(app, "lab cut", node, tell_ledger=False):
        app.parts.lab().cut(app.federation, app.home, find(node), find(other) if other else None)
    _report(app, "cut", (node, other) if other else (node,))


@lab.command()
@any_node_argument
@other_argument
@pass_app
def heal(app: App, node: str | None, other: str | None) -> None:
    """Undo `cut`: of NODE, of NODE and OTHER, or, without arguments, every one."""
    app.lab_only("lab heal")
    first = app.federation.node(node) if node else None
    second = app.federation.node(other) if other else None
    with working(app, "lab heal", node or "", tell_ledger=False):
        app.parts.lab().heal(app.federation, app.home, first, second)
    _report(app, "healed", tuple(filter(None, (node, other))) or ("every cut",))


@lab.command()
@node_argument
@pass_app
def reset(app: App, node: str) -> None:
    """Delete all that NODE holds and boot it bare, with a new host key."""
    app.lab_only("lab reset")
    target = app.federation.node(node)
    app.confirm(f"Delete everything on {node}?")
    with working(app, "lab reset", node, tell_ledger=False) as work:
        app.parts.lab().reset(app.federation, app.home, (target,), work.progress)
        # Its keys went with its disk: nobody else can have them. The lab pins the host key itself.
        retire_keys(work, target)
    _report(app, "reset", (node,))


@lab.command()
@click.option("--keep-cache", is_flag=True, help="Keep the root file system, packages and wheels.")
@pass_app
def clean(app: App, keep_cache: bool) -> None:
    """Delete the machines, all they hold, the operator's keys for them, and what was cached."""
    app.lab_only("lab clean")
    app.confirm(f"Delete every machine of the lab {app.federation.name!r} and all they hold?")
    with working(app, "lab clean", tell_ledger=False) as work:
        app.parts.lab().clean(app.federation, app.home, work.progress)
        with work.progress.phase("Keys and caches"):
            if not keep_cache:
                app.parts.lab().discard_cache(app.home)
            forget(app.home, keep_cache=keep_cache)
    _report(app, "deleted", tuple(node.name for node in app.federation.nodes))


def forget(home: Home, *, keep_cache: bool) -> None:
    """Remove the operator's state of a lab, whatever it is: what is pinned for machines that are
    gone would be held against the next ones. The runs' logs stay; what they still had to tell the
    ledger goes with that ledger.
    """
    for folder in runs.unsent(home.runs, runs.KEPT_RUNS):
        (folder / runs.EVENT).unlink(missing_ok=True)
    entries = list(home.root.iterdir()) if home.root.exists() else []
    gone = [entry for entry in entries if entry not in (home.runs, home.cache)]
    if not keep_cache:
        gone += [home.cache / name for name in ("releases", "wheelhouse")]
    for entry in gone:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _nodes(app: App, name: str | None) -> tuple[Node, ...]:
    return (app.federation.node(name),) if name else app.federation.nodes


def _report(app: App, what: str, nodes: tuple[str, ...]) -> None:
    if app.json:
        app.output.data({what: list(nodes)})
        return
    app.output.say(f"{what}: {' '.join(nodes)}" if nodes else f"nothing had to be {what}")
