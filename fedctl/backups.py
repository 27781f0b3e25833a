"""Backups as the operator drives them: what is asked of which node, and how answers are read."""

import json
import secrets
from datetime import datetime

from daemons.backup.decide import Backup
from deploys.errors import FailureKind, NodeError
from deploys.layout import PYTHON
from deploys.own_secrets import PASSPHRASE
from deploys.pgbackrest import USER, number_of, repositories
from deploys.postgres import CLUSTERS, DATA
from fedctl.app import App
from fedctl.errors import FedctlError
from fedctl.node_jobs import TLS_KEY, asked, transient
from fedctl.remote import Link, Links
from fedctl.restore_target import Held
from inventory.model import Federation, Node, Role

SEALED_PASSPHRASE = f"/etc/federation/credentials/{PASSPHRASE}"
POSTGRES = "postgres"


def recovery(command: str, *arguments: str, port: int) -> list[str]:
    """`daemons.recovery` on a data node."""
    module = [PYTHON, "-I", "-m", "daemons.recovery", command, f"--port={port}", *arguments]
    return transient(POSTGRES, module, writes=[CLUSTERS])


def job(*arguments: str) -> list[str]:
    """`daemons.backup` on a repository's node."""
    module = [PYTHON, "-I", "-m", "daemons.backup", *arguments]
    writes = ["/var/lib/federation/backup", "/var/lib/federation/textfile"]
    own = f"federation-backup-job-{secrets.token_hex(6)}"
    credentials = [TLS_KEY, f"{PASSPHRASE}:{SEALED_PASSPHRASE}"]
    return transient(USER, module, credentials=credentials, handed_over=own, writes=writes)


def held(link: Link) -> Held:
    """What the repository on this node holds."""
    found = asked(link, job("info"), "the repository")
    backups = tuple(
        Backup(
            **{
                **item,
                "started": datetime.fromisoformat(item["started"]),
                "stopped": datetime.fromisoformat(item["stopped"]),
            }
        )
        for item in found["backups"]
    )
    return Held(
        node=link.node.name,
        number=found["repository"],
        backups=backups,
        newest_wal=found["newest_wal"] or "",
        disk_size_bytes=found["disk_size_bytes"],
        disk_free_bytes=found["disk_free_bytes"],
        archive_checked=found["archive_checked"],
    )


def keepers(app: App, number: int | None = None) -> tuple[Node, ...]:
    """Nodes with a repository, or the one with this number; raises when there is none."""
    found = tuple(
        n for n in repositories(app.federation) if number is None or number_of(n) == number
    )
    if not found:
        raise FedctlError(
            "the inventory has no such backup repository",
            "give a node the role backup (and another one offsite), then fedctl apply",
        )
    return found


def leader(federation: Federation, links: Links) -> Link:
    """The session with the data node that takes writes; raises NodeError when none does."""
    argv = recovery("leads", port=federation.ports.postgres)
    nodes = federation.with_role(Role.DATA)
    answers = links.ask(nodes, lambda link: link.run(argv, root=True))
    for name, done in answers.items():
        if done.code == 0 and json.loads(done.out)["leads"]:
            return links.open[name]
    raise NodeError(FailureKind.OPERATION, "no data node takes writes: fedctl ledger status")


def has_cluster(link: Link) -> bool:
    """Whether a database's folder is on this node."""
    return link.run(["test", "-e", f"{DATA}/PG_VERSION"], root=True).code == 0
