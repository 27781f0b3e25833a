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

import json
import time
from dataclasses import dataclass, field
from typing import Any

from daemons.recovery.decide import Target, needed_bytes
from deploys.errors import FailureKind, NodeError
from deploys.pgbackrest import CLUSTERS, DATA, DATABASE_CONF, VERSION, repositories
from deploys.replication import ETCD, NAMESPACE, PATRONI, etcd_url
from deploys.roles.archive import FULL, OFFSITE
from deploys.roles.data import NO_CLUSTER
from fedctl import backups
from fedctl.backups import Choice, Goal, Held, Points
from fedctl.commands.deploying import carry_out
from fedctl.errors import FedctlError
from fedctl.remote import Link, Links, each
from fedctl.restores import Restore, Restores
from fedctl.work import Work
from inventory.model import Node, Role

WORK = f"{CLUSTERS}/restore"
STOP_SECONDS = 300.0
FLUSH_SECONDS = 60
GROUND = ("ground", "release")
ARCHIVE = "archive"


@dataclass(frozen=True)
class Wanted:
    """What a person asked for. `repository`, `label`, `node`: their own choice, or None."""

    goal: Goal
    repository: int | None = None
    label: str | None = None
    node: str | None = None


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
    app, watch = work.app, Watch()
    nodes = app.federation.with_role(Role.DATA)
    with work.progress.phase("Choose the backup"):
        links.reach(nodes)
        missing = [node.name for node in nodes if node.name not in links.open]
        if missing:
            raise links.failed[missing[0]]
        leading = _leader(work, links)
        target = _target(work, leading, wanted)
        choice = _choose(work, links, wanted, target)
        link = links.open[wanted.node] if wanted.node else (leading or links.open[nodes[0].name])
    with work.progress.phase("Stop the database everywhere"):
        _stop(work, links, nodes, leading)
    aside = f"{DATA}.replaced-{work.run.id}"
    try:
        with work.progress.phase(f"Restore on {link.node.name}"):
            backups.shell(
                link,
                f"if test -e {DATA}; then mv {DATA} {aside}; fi; rm -rf {WORK}",
                "moving the old cluster aside",
            )
            watch.lap("prepare")
            restored = _restore(work, link, choice)
            watch.lap("restore")
            _remember(work, wanted, restored)
    except BaseException:
        _put_back(work, links, nodes, link, aside)
        raise
    with work.progress.phase("Let the others rejoin"):
        _forget(work, link)
        others = [links.open[node.name] for node in nodes if node.name != link.node.name]
        each(others, lambda other: backups.shell(other, f"rm -rf {DATA}", "removing the old copy"))
    work.note(f"the replaced cluster is kept on {link.node.name}: {aside}")
    carry_out(work, ())
    watch.lap("rejoin")
    _begin_anew(work, links)
    return _told(restored, watch, link, replaced=aside)


def recover(work: Work, wanted: Wanted) -> dict[str, Any]:
    """Bring a lost database back on rebuilt nodes; as `restore_live`."""
    app, federation, watch = work.app, work.app.federation, Watch()
    nodes = federation.with_role(Role.DATA)
    concerned = {node.name: node for node in (*nodes, *repositories(federation))}
    with work.progress.phase("Ground of the rebuilt nodes"):
        carry_out(work, tuple(concerned), GROUND)
    with Links(app.parts.connect, federation, app.home) as links:
        with work.progress.phase("PostgreSQL and pgBackRest"):
            links.reach(nodes)
            missing = [node.name for node in nodes if node.name not in links.open]
            if missing:
                raise links.failed[missing[0]]
            each([links.open[node.name] for node in nodes], _prepare)
            # The repositories too: what is left of them may be of an older release.
            carry_out(work, tuple(concerned), (ARCHIVE,))
        with work.progress.phase("Choose the backup"):
            target = _target(work, None, wanted)
            choice = _choose(work, links, wanted, target)
            link = links.open[wanted.node or nodes[0].name]
        with work.progress.phase(f"Restore on {link.node.name}"):
            watch.lap("prepare")
            restored = _restore(work, link, choice)
            watch.lap("restore")
            _remember(work, wanted, restored)
    carry_out(work, ())
    watch.lap("rejoin")
    with Links(app.parts.connect, federation, app.home) as links:
        _begin_anew(work, links)
    return _told(restored, watch, link)


def _told(restored: dict[str, Any], watch: Watch, link: Link, **more: Any) -> dict[str, Any]:
    parts = watch.all_of(restored["seconds"])
    return {**restored, "seconds": parts, "node": link.node.name, **more}


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
            if node.name not in links.open:
                raise links.failed[node.name]
            found.append(backups.held(links.open[node.name]))
        except NodeError as error:
            work.note(str(error).splitlines()[0])
    return found


def _leader(work: Work, links: Links) -> Link | None:
    try:
        return backups.leader(work.app.federation, links)
    except NodeError as error:
        work.note(str(error))
        return None


def _target(work: Work, leading: Link | None, wanted: Wanted) -> Target:
    goal, located = wanted.goal, None
    if goal.kind == "seq" and leading is not None:
        port = work.app.federation.ports.postgres
        argv = backups.recovery("locate", f"--seq={goal.seq}", port=port)
        located = backups.asked(leading, argv, "looking for the event")
    return backups.target_of(goal, located, Points(work.app.home), labelled=bool(wanted.label))


def _choose(work: Work, links: Links, wanted: Wanted, target: Target) -> Choice:
    held = held_everywhere(work, links, wanted.repository)
    seq = wanted.goal.seq if target.kind == "latest" else None
    choice = backups.choose(held, target, seq, wanted.repository, wanted.label)
    work.note(
        f"{choice.backup.kind} backup {choice.backup.label} of repository {choice.held.number} "
        f"on {choice.held.node}, replayed to {target.value or 'the end of the WAL'}"
    )
    work.facts["repository"], work.facts["label"] = choice.held.number, choice.backup.label
    work.facts["target"] = {"kind": wanted.goal.kind, "value": wanted.goal.text}
    return choice


def _stop(work: Work, links: Links, nodes: tuple[Node, ...], leading: Link | None) -> None:
    """Followers first: nobody takes over while the leader goes."""
    if leading is not None:
        port = work.app.federation.ports.postgres
        argv = backups.recovery("flush", f"--seconds={FLUSH_SECONDS}", port=port)
        said = backups.asked(leading, argv, "archiving the last WAL")
        if not said["archived"]:
            work.note(f"{said['segment']} is not in every repository yet; it stays on the node")
    followers = [links.open[n.name] for n in nodes if leading is None or n != leading.node]
    last = [leading] if leading is not None else []
    for group in (followers, last):
        each(
            group,
            lambda link: backups.shell(
                link, f"systemctl stop {PATRONI}", "stopping Patroni", STOP_SECONDS
            ),
        )


def _restore(work: Work, link: Link, choice: Choice) -> dict[str, Any]:
    federation = work.app.federation
    target = choice.target
    arguments = [
        f"--repository={choice.held.number}",
        *(f"--label={backup.label}" for backup in choice.backups),
        f"--kind={target.kind}",
        f"--value={target.value}",
        f"--timeline={target.timeline}",
        f"--needed-bytes={max(map(needed_bytes, choice.backups))}",
        f"--data={DATA}",
        f"--work={WORK}",
        f"--config={DATABASE_CONF}",
        *([f"--moment={target.moment.isoformat()}"] if target.moment else []),
        *([f"--seq={choice.seq}"] if choice.seq is not None else []),
    ]
    argv = backups.recovery("restore", *arguments, port=federation.ports.postgres)
    heard: list[str] = []

    def line(text: str, is_error: bool) -> None:
        if is_error and text.startswith("recovery: "):
            work.note(text.removeprefix("recovery: "))
        heard.append(text)

    if link.stream(argv, line, root=True) != 0:
        said = next((t for t in reversed(heard) if t), "it said nothing")
        raise NodeError(FailureKind.OPERATION, f"{link.node.name}: {said}")
    answer: dict[str, Any] = json.loads([text for text in heard if text.startswith("{")][-1])
    ledger = answer["ledger"]
    if ledger["problems"]:
        raise FedctlError(
            f"what was restored does not verify: {'; '.join(ledger['problems'])}",
            "choose an earlier --to, or the other repository",
        )
    work.note(f"{ledger['rows']} events, root {ledger['root'][:16]}, as signed")
    backups.shell(link, f"rm -rf {WORK}", "cleaning up")
    return answer


def _put_back(work: Work, links: Links, nodes: tuple[Node, ...], link: Link, aside: str) -> None:
    """After a failed restore: the old cluster, where it was, running."""
    with work.progress.phase("Put the old database back"):
        backups.shell(
            link,
            f"rm -rf {WORK}; if test -e {aside}; then rm -rf {DATA}; mv {aside} {DATA}; fi",
            "putting the old cluster back",
        )
        each(
            [links.open[node.name] for node in nodes],
            lambda other: backups.shell(
                other, f"systemctl start {PATRONI}", "starting Patroni", STOP_SECONDS
            ),
        )


def _begin_anew(work: Work, links: Links) -> None:
    """A full backup of the new history, in both repositories, without waiting for it."""
    nodes = repositories(work.app.federation)
    links.reach(nodes)
    for node in nodes:
        unit = FULL if node.has(Role.BACKUP) else OFFSITE
        try:
            link = links.open[node.name]
            backups.shell(link, f"systemctl start --no-block {unit}.service", f"starting {unit}")
            work.note(f"a full backup of the restored database begins on {node.name}")
        except (KeyError, NodeError):
            work.note(f"{node.name} could not be told to back up; its timer will")


def _forget(work: Work, link: Link) -> None:
    url = etcd_url(work.app.federation, link.node)
    port = work.app.federation.ports.postgres
    argv = backups.recovery("forget", f"--etcd={url}", f"--prefix={NAMESPACE}", port=port)
    backups.asked(link, argv, f"making {ETCD} forget the old cluster")


def _prepare(link: Link) -> None:
    """PostgreSQL's programs and user, before any cluster: as the deploy will have them."""
    folder = "/etc/postgresql-common"
    units = ("postgresql.service", f"postgresql@{VERSION}-main.service")
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120"
    script = [
        f"mkdir -p {folder}",
        f"printf %s {backups.quoted(NO_CLUSTER)} >{folder}/createcluster.conf",
        *(f"ln -sfn /dev/null /etc/systemd/system/{unit}" for unit in units),
        f"test -x /usr/lib/postgresql/{VERSION}/bin/postgres || {apt} update",
        f"{apt} install -y --no-install-recommends postgresql-{VERSION}",
        f"install -d -o postgres -g postgres {CLUSTERS}",
    ]
    backups.shell(
        link,
        "\n".join(script),
        f"installing PostgreSQL {VERSION}",
        1800.0,
    )
