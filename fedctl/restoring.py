"""Put the federation's database back: one node restores by itself, then all rejoin it.

In this order, so that a failure before the last step leaves what was there:

1. choose the repository, the backup and the target, with everything still running;
2. have the last WAL archived, stop Patroni everywhere (those that follow first);
3. move the old cluster aside on one node, restore there, replay, promote, verify: offline;
4. make the data nodes forget the old cluster, remove its copies on the others;
5. apply: the restored node is found to have the data and leads, the others copy it.

A restore that fails in 3 puts the old cluster back and starts it. After a disaster there is nothing
to stop or forget: 3 happens on a bare node that was given its ground first.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from deploys.errors import NodeError
from deploys.pgbackrest import repositories
from deploys.postgres import DATA
from fedctl import backups, restore_steps
from fedctl.commands.deploying import carry_out
from fedctl.errors import FedctlError
from fedctl.node_jobs import asked
from fedctl.remote import Link, Links, each
from fedctl.restore_points import Points
from fedctl.restore_target import Choice, Held, Wanted, choose, target_of
from fedctl.restores import Restore, Restores
from fedctl.work import Work
from inventory.model import Node, Role

GROUND = ("ground", "release")
ARCHIVE = "archive"


@dataclass
class Watch:
    """How long each part of a restore took, in seconds; what it is part of ends with `total`."""

    begun: float = field(default_factory=time.monotonic)
    since: float = field(default_factory=time.monotonic)
    parts: dict[str, float] = field(default_factory=dict)

    def lap(self, part: str) -> None:
        """What passed since the last lap was `part`."""
        now = time.monotonic()
        self.parts[part] = round(now - self.since, 1)
        self.since = now

    def all_of(self, inside: dict[str, float]) -> dict[str, float]:
        """The parts, those measured on the node in their place, and the total."""
        return {
            "prepare": self.parts["prepare"],
            **inside,
            "rejoin": self.parts["rejoin"],
            "total": round(self.since - self.begun, 1),
        }


def restore_live(work: Work, links: Links, wanted: Wanted) -> dict[str, Any]:
    """Replace the running database; what was restored, and how long each part took."""
    federation, watch = work.app.federation, Watch()
    nodes = federation.with_role(Role.DATA)
    with work.progress.phase("Choose the backup"):
        members = links.need(nodes)
        leading = _leader(work, links)
        choice = _choose(work, links, wanted, leading)
        link = links.open[wanted.node] if wanted.node else (leading or members[0])
    with work.progress.phase("Stop the database everywhere"):
        restore_steps.stop(federation, members, leading, work.note)
    aside = f"{DATA}.replaced-{work.run.id}"
    try:
        with work.progress.phase(f"Restore on {link.node.name}"):
            restore_steps.set_aside(link, aside)
            restored = _restore(work, link, wanted, choice, watch)
    except BaseException:
        with work.progress.phase("Put the old database back"):
            restore_steps.put_back(members, link, aside)
        raise
    with work.progress.phase("Let the others rejoin"):
        others = [other for other in members if other.node.name != link.node.name]
        restore_steps.forget(federation, link, others)
    work.note(f"the replaced cluster is kept on {link.node.name}: {aside}")
    carry_out(work, ())
    watch.lap("rejoin")
    restore_steps.begin_anew(federation, links, work.note)
    return _told(restored, watch, link, replaced=aside)


def recover(work: Work, wanted: Wanted) -> dict[str, Any]:
    """Bring a lost database back on rebuilt nodes; as `restore_live`."""
    app, federation, watch = work.app, work.app.federation, Watch()
    nodes = federation.with_role(Role.DATA)
    concerned = tuple(dict.fromkeys(n.name for n in (*nodes, *repositories(federation))))
    with work.progress.phase("Ground of the rebuilt nodes"):
        carry_out(work, concerned, GROUND)
    with Links(app.parts.connect, federation, app.home) as links:
        with work.progress.phase("PostgreSQL and pgBackRest"):
            each(links.need(nodes), restore_steps.prepare)
            # The repositories too: what is left of them may be of an older release.
            carry_out(work, concerned, (ARCHIVE,))
        with work.progress.phase("Choose the backup"):
            choice = _choose(work, links, wanted, None)
            link = links.open[wanted.node or nodes[0].name]
        with work.progress.phase(f"Restore on {link.node.name}"):
            restored = _restore(work, link, wanted, choice, watch)
    carry_out(work, ())
    watch.lap("rejoin")
    with Links(app.parts.connect, federation, app.home) as links:
        restore_steps.begin_anew(federation, links, work.note)
    return _told(restored, watch, link)


def refuse_if_there(links: Links, nodes: tuple[Node, ...]) -> None:
    """Raises FedctlError when a data node still has a database: that is for `restore`."""
    having = [n for n, there in links.ask(nodes, backups.has_cluster).items() if there]
    if having:
        raise FedctlError(
            f"{', '.join(having)} still has the federation's database",
            "to replace it: fedctl backup restore --to ... --over-live-cluster; when an earlier "
            "recover restored it and stopped later: fedctl apply goes on",
        )


def held_everywhere(work: Work, links: Links, only: int | None = None) -> list[Held]:
    """What every repository that answers holds; why the others do not is noted."""
    nodes = backups.keepers(work.app, only)
    links.reach(nodes)
    found = []
    for node in nodes:
        try:
            found.append(backups.held(links.to(node.name)))
        except NodeError as error:
            work.note(str(error).splitlines()[0])
    return found


def _leader(work: Work, links: Links) -> Link | None:
    try:
        return backups.leader(work.app.federation, links)
    except NodeError as error:
        work.note(str(error))
        return None


def _choose(work: Work, links: Links, wanted: Wanted, leading: Link | None) -> Choice:
    """Which backup, replayed to where; raises FedctlError, NoBackup. `leading` knows the events."""
    app, goal, located = work.app, wanted.goal, None
    if goal.kind == "seq" and leading is not None:
        argv = backups.recovery("locate", f"--seq={goal.seq}", port=app.federation.ports.postgres)
        located = asked(leading, argv, "looking for the event")
    points = Points(app.home).all() if goal.kind == "name" else {}
    target = target_of(goal, located, points, labelled=bool(wanted.label))
    held = held_everywhere(work, links, wanted.repository)
    seq = goal.seq if target.kind == "latest" else None
    choice = choose(held, target, seq, wanted.repository, wanted.label)
    work.note(
        f"{choice.backup.kind} backup {choice.backup.label} of repository {choice.held.number} "
        f"on {choice.held.node}, replayed to {target.value or 'the end of the WAL'}"
    )
    work.facts["repository"], work.facts["label"] = choice.held.number, choice.backup.label
    work.facts["target"] = {"kind": goal.kind, "value": goal.text}
    return choice


def _restore(
    work: Work, link: Link, wanted: Wanted, choice: Choice, watch: Watch
) -> dict[str, Any]:
    """Restore on one node and remember it, so that the witnesses can be told."""
    watch.lap("prepare")
    restored = restore_steps.restore(work.app.federation, link, choice, work.note)
    watch.lap("restore")
    _remember(work, wanted, restored)
    return restored


def _remember(work: Work, wanted: Wanted, restored: dict[str, Any]) -> None:
    """What a person may accept for the witnesses, once the log goes on from there."""
    seen = restored["ledger"]
    Restores(work.app.home).add(
        Restore(
            run=work.run.id,
            time=work.app.now().isoformat(),
            target=wanted.goal.text,
            backup=restored["label"],
            size=seen["size"],
            root=seen["root"],
        )
    )


def _told(restored: dict[str, Any], watch: Watch, link: Link, **more: Any) -> dict[str, Any]:
    parts = watch.all_of(restored["seconds"])
    return {**restored, "seconds": parts, "node": link.node.name, **more}
