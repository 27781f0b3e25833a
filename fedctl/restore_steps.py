"""The steps of a restore, each on the nodes it is given; in which order is `restoring`'s.

Every step raises NodeError with what the node said.
"""

import json
from collections.abc import Callable, Sequence
from shlex import quote
from typing import Any

from deploys.errors import FailureKind, NodeError
from deploys.pgbackrest import DATABASE_CONF, repositories
from deploys.postgres import (
    BINARIES,
    CLUSTERS,
    COMMON,
    DATA,
    DEBIAN_UNITS,
    NO_CLUSTER,
    NO_CLUSTER_FILE,
    PACKAGE,
    VERSION,
)
from deploys.replication import ETCD, NAMESPACE, PATRONI, etcd_url
from deploys.roles.archive import FULL, OFFSITE
from fedctl.backups import recovery
from fedctl.errors import FedctlError
from fedctl.node_jobs import asked, shell
from fedctl.remote import Link, Links, each
from fedctl.restore_target import Choice, arguments
from inventory.model import Federation, Role

WORK = f"{CLUSTERS}/restore"
STOP_SECONDS = 300.0
FLUSH_SECONDS = 60
INSTALL_SECONDS = 1800.0

Note = Callable[[str], None]


def stop(federation: Federation, links: Sequence[Link], leading: Link | None, note: Note) -> None:
    """Archive the last WAL, then stop Patroni. Followers first: nobody takes over meanwhile."""
    if leading is not None:
        port = federation.ports.postgres
        argv = recovery("flush", f"--seconds={FLUSH_SECONDS}", port=port)
        said = asked(leading, argv, "archiving the last WAL")
        if not said["archived"]:
            note(f"{said['segment']} is not in every repository yet; it stays on the node")
    followers = [link for link in links if leading is None or link.node != leading.node]
    last = [leading] if leading is not None else []
    for group in (followers, last):
        each(group, lambda link: _patroni(link, "stop", "stopping Patroni"))


def set_aside(link: Link, aside: str) -> None:
    """The old cluster out of the way, to where it can be put back from."""
    shell(
        link,
        f"if test -e {DATA}; then mv {DATA} {aside}; fi; rm -rf {WORK}",
        "moving the old cluster aside",
    )


def put_back(links: Sequence[Link], link: Link, aside: str) -> None:
    """After a failed restore: the old cluster, where it was, running."""
    shell(
        link,
        f"rm -rf {WORK}; if test -e {aside}; then rm -rf {DATA}; mv {aside} {DATA}; fi",
        "putting the old cluster back",
    )
    each(links, lambda other: _patroni(other, "start", "starting Patroni"))


def restore(federation: Federation, link: Link, choice: Choice, note: Note) -> dict[str, Any]:
    """Restore, replay, promote and verify, offline; what the node says of it.

    Raises FedctlError when the restored log is not the one that was signed.
    """
    where = [f"--data={DATA}", f"--work={WORK}", f"--config={DATABASE_CONF}"]
    argv = recovery("restore", *arguments(choice), *where, port=federation.ports.postgres)
    heard: list[str] = []

    def line(text: str, is_error: bool) -> None:
        if is_error and text.startswith("recovery: "):
            note(text.removeprefix("recovery: "))
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
    note(f"{ledger['rows']} events, root {ledger['root'][:16]}, as signed")
    shell(link, f"rm -rf {WORK}", "cleaning up")
    return answer


def forget(federation: Federation, link: Link, others: Sequence[Link]) -> None:
    """Make etcd forget the old cluster, and the other nodes lose their copies of it."""
    argv = recovery(
        "forget",
        f"--etcd={etcd_url(federation, link.node)}",
        f"--prefix={NAMESPACE}",
        port=federation.ports.postgres,
    )
    asked(link, argv, f"making {ETCD} forget the old cluster")
    each(others, lambda other: shell(other, f"rm -rf {DATA}", "removing the old copy"))


def prepare(link: Link) -> None:
    """PostgreSQL's programs and user, before any cluster: as the deploy will have them."""
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120"
    script = [
        f"mkdir -p {COMMON}",
        f"printf %s {quote(NO_CLUSTER)} >{NO_CLUSTER_FILE}",
        *(f"ln -sfn /dev/null /etc/systemd/system/{unit}" for unit in DEBIAN_UNITS),
        f"test -x {BINARIES}/postgres || {apt} update",
        f"{apt} install -y --no-install-recommends {PACKAGE}",
        f"install -d -o postgres -g postgres {CLUSTERS}",
    ]
    shell(link, "\n".join(script), f"installing PostgreSQL {VERSION}", INSTALL_SECONDS)


def begin_anew(federation: Federation, links: Links, note: Note) -> None:
    """A full backup of the new history, in both repositories, without waiting for it."""
    nodes = repositories(federation)
    links.reach(nodes)
    for node in nodes:
        unit = FULL if node.has(Role.BACKUP) else OFFSITE
        try:
            link = links.open[node.name]
            shell(link, f"systemctl start --no-block {unit}.service", f"starting {unit}")
            note(f"a full backup of the restored database begins on {node.name}")
        except (KeyError, NodeError):
            note(f"{node.name} could not be told to back up; its timer will")


def _patroni(link: Link, verb: str, what: str) -> str:
    return shell(link, f"systemctl {verb} {PATRONI}", what, STOP_SECONDS)
