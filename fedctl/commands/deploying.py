"""`plan`, `apply`, `bootstrap`: what would change, change it, bring one machine in."""

from collections.abc import Sequence

import click

from deploys.node_keys import NODE_KEYS, WITNESS, NodeKeys
from deploys.protocol import Outcome
from deploys.witnesses import nodes_of
from fedctl import host_keys
from fedctl.app import App, FedCommand, pass_app
from fedctl.deploying import GOOD, Deployed, count, deploy, in_words, require_success
from fedctl.errors import RunEnded
from fedctl.narrate import pending_lines
from fedctl.selecting import NodeName, limit_option, no_lock_option
from fedctl.work import Work, working
from inventory.model import Federation, Node, Role

# The stages that tell them whom to believe.
SEQUENCERS, WITNESSES = "services", "callers"


@click.command(cls=FedCommand)
@limit_option
@pass_app
def plan(app: App, limit: tuple[str, ...]) -> None:
    """Show what `apply` would change, and change nothing.

    Every change is listed by node and role, files with their differences; secrets are never shown.
    Exit code 3 means that changes are pending.
    """
    app.federation.select(limit)
    with working(app, "plan", tell_ledger=False) as work:
        found = look(work, limit)
        show_plan(app, work, found)
    if found.summary.outcome is Outcome.PENDING:
        raise RunEnded(Outcome.PENDING, "")


@click.command(cls=FedCommand)
@limit_option
@no_lock_option
@pass_app
def apply(app: App, limit: tuple[str, ...], no_lock: bool) -> None:
    """Make the nodes what the inventory says.

    One node goes first, the others follow; the first failure stops everything. On a terminal the
    plan is shown and you are asked; --yes goes straight ahead.
    """
    app.federation.select(limit)
    with working(app, "apply", ", ".join(limit)) as work:
        if not app.yes and not ask_with_plan(work, limit):
            return
        with work.locked(f"apply {' '.join(limit)}".strip(), no_lock=no_lock):
            summary = carry_out(work, limit)
        if app.json:
            app.output.data({"run": work.run.id, **work.facts})
        app.output.say(in_words(summary.summary))


@click.command(cls=FedCommand)
@click.argument("node", type=NodeName())
@click.option(
    "--host-key",
    metavar="FINGERPRINT",
    help="The machine's host key has this fingerprint (SHA256:...); pin it from now on.",
)
@no_lock_option
@pass_app
def bootstrap(app: App, node: str, host_key: str | None, no_lock: bool) -> None:
    """Take one bare machine with SSH to its full role; also rebuilds a lost one.

    A machine that was reinstalled shows another host key. It is trusted only when you name its
    fingerprint (or, in a lab, because the lab made the key itself).
    """
    found = app.federation.node(node)
    app.confirm(f"Give {found.name} ({found.address}) its full role?")
    with working(app, "bootstrap", node) as work:
        with work.progress.phase("Host key"):
            pin(app, work, (node,), host_key)
        with work.locked(f"bootstrap {node}", no_lock=no_lock):
            known = {keys.owner: keys.pinned(app.home, found) for keys in NODE_KEYS}
            done = carry_out(work, (node,))
            for keys in NODE_KEYS:
                if keys.pinned(app.home, found) != known[keys.owner]:
                    tell_others(work, found, keys)
        if app.json:
            app.output.data({"run": work.run.id, **work.facts})
        app.output.say(f"{node}: {in_words(done.summary)}")


def tell_others(work: Work, node: Node, keys: NodeKeys) -> None:
    """Give those who check it the new key that a service has on `node`.

    One that is away hears of it from the next `apply`: `node` itself is complete.
    """
    facts = dict(work.facts)
    whom, stage, nodes = _hearers(work.app.federation, keys)
    others = [other.name for other in nodes if other != node]
    if not others:
        return
    with work.progress.phase(f"Tell the {whom} of its {keys.owner}"):
        told = deploy(work, "apply", tuple(others), (stage,)).summary
    work.facts.clear()
    work.facts.update(facts, **{f"{whom}_told": told.outcome in GOOD})
    if told.outcome not in GOOD:
        work.note(f"{', '.join(others)} were not all told its {keys.owner}'s key: fedctl apply")


def _hearers(federation: Federation, keys: NodeKeys) -> tuple[str, str, tuple[Node, ...]]:
    """Who checks what these keys sign, the stage that tells them, and where they are."""
    if keys is WITNESS:
        return "sequencers", SEQUENCERS, federation.with_role(Role.DATA)
    return "witnesses", WITNESSES, nodes_of(federation)


def pin(app: App, work: Work, names: Sequence[str], fingerprint: str | None = None) -> None:
    """Pin host keys by what may be trusted: one node's named fingerprint, the inventory, or the
    lab's record."""
    federation, home = app.federation, app.home
    nodes = [federation.node(name) for name in names]
    before = {node.name: host_keys.pinned(federation, home, node) for node in nodes}
    if fingerprint:
        [node] = nodes
        key = host_keys.pin_fingerprint(federation, home, node, fingerprint)
        work.note(f"pinned {host_keys.fingerprint(key)} for {node.name}")
    elif federation.kind == "lab":
        app.parts.lab().pin_host_keys(federation, home)
    else:
        host_keys.pin_from_inventory(federation, home)
    for node in nodes:
        # Another machine than the one whose keys were known: its services have keys of their own.
        known = before[node.name]
        if known and known != host_keys.pinned(federation, home, node):
            retire_keys(work, node)


def retire_keys(work: Work, node: Node) -> None:
    """Let go of the keys that services made on a machine which is no more."""
    for keys in NODE_KEYS:
        if keys.retire(work.app.home, node, work.app.now()):
            work.note(f"retired the key of the {keys.owner} that was on {node.name}")


def look(work: Work, limit: tuple[str, ...]) -> Deployed:
    """A plan; raises RunEnded unless every node could be asked."""
    host_keys.pin_from_inventory(work.app.federation, work.app.home)
    with work.progress.phase("Look at every node" if not limit else f"Look at {', '.join(limit)}"):
        found = deploy(work, "plan", limit)
        if found.summary.outcome is not Outcome.PENDING:
            _report_failure(work, found)
    return found


def carry_out(work: Work, limit: tuple[str, ...], stages: tuple[str, ...] = ()) -> Deployed:
    """An apply; raises RunEnded unless it succeeded."""
    host_keys.pin_from_inventory(work.app.federation, work.app.home)
    with work.progress.phase("Apply"):
        done = deploy(work, "apply", limit, stages)
        _report_failure(work, done)
    return done


def ask_with_plan(work: Work, limit: tuple[str, ...]) -> bool:
    """Show the plan and ask; False when there is nothing to do."""
    app = work.app
    if app.json:
        app.confirm("Apply all pending changes?")
        return True
    _refuse_off_terminal(app)
    found = look(work, limit)
    show_plan(app, work, found)
    if found.summary.outcome is not Outcome.PENDING:
        return False
    with work.progress.paused():
        app.confirm("Carry this out?")
    return True


def show_plan(app: App, work: Work, found: Deployed) -> None:
    """The plan on stdout, a line about it for the person."""
    if app.json:
        values = [
            {
                "node": event.node,
                "role": event.role,
                "operation": event.operation,
                "changes": [
                    {"action": c.action, "subject": c.subject, "diff": c.diff}
                    for c in event.changes
                ],
            }
            for event in found.pending
        ]
        app.output.data({"run": work.run.id, **work.facts, "pending": values})
        return
    names = [node.name for node in app.federation.nodes]
    for line in pending_lines(found.pending, names):
        app.output.styled(line)
    nodes = {event.node for event in found.pending}
    if nodes:
        what = f"{count(len(found.pending), 'operation')} pending on {count(len(nodes), 'node')}"
        app.output.say(what)
    else:
        app.output.say("nothing to change")


def _refuse_off_terminal(app: App) -> None:
    """Ask nobody a question that takes a minute to prepare."""
    if not app.interactive:
        app.confirm("Apply all pending changes?")


def _report_failure(work: Work, found: Deployed) -> None:
    try:
        require_success(work, found.summary)
    except RunEnded:
        if work.app.json:
            work.app.output.data({"run": work.run.id, **work.facts})
        raise
