"""pgBackRest's configuration files, from the roles in the inventory. Pure.

Three of them: `database.conf` on data nodes (its server reads the cluster for the repositories, the
archiver pushes to both), `repository.conf` where a repository is, `restore-test.conf` beside the
first. Rules kept: no secret in any; everybody is known by a certificate's common name; a key file
is the systemd credential of the process that reads it most, others override the path.
"""

from dataclasses import dataclass
from typing import Any

from deploys.layout import AUTHORITY, CERTIFICATE, CONFIG, STATE, credential
from deploys.postgres import CLUSTERS, DATA, SOCKETS
from deploys.templates import render
from inventory.model import Federation, Node, Role

STANZA = "federation"
FOLDER = f"{CONFIG}/pgbackrest"
DATABASE_CONF = f"{FOLDER}/database.conf"
REPOSITORY_CONF = f"{FOLDER}/repository.conf"
TEST_CONF = f"{FOLDER}/restore-test.conf"
DATABASE_SERVER = "federation-pgbackrest.service"
REPOSITORY_SERVER = "federation-repository.service"
DATABASE_UNIT = "federation-patroni.service"
TEST_UNIT = "federation-restore-test.service"
USER = "fedbackup"
TEST_USER = "fedrestore"
HOME = f"{STATE}/backup"
REPOSITORY = f"{HOME}/repository"
# In memory, of the repository's unit: its passphrase, for what its clients have it do.
HANDED_OVER = "/run/federation-repository"
TEST_HOME = f"{STATE}/restore-test"
TEST_DATA = f"{TEST_HOME}/cluster"
# A connection to a node that is away is tried for twice as long.
CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Places:
    """Where things are on a machine; tests use folders of their own."""

    certificate: str = CERTIFICATE
    authority: str = AUTHORITY
    data: str = DATA
    sockets: str = SOCKETS
    lock: str = f"{CLUSTERS}/pgbackrest/lock"
    spool: str = f"{CLUSTERS}/pgbackrest/spool"
    home: str = HOME


def number_of(node: Node) -> int | None:
    """Which repository is on `node`: 1 (backup), 2 (offsite) or none."""
    if node.has(Role.BACKUP):
        return 1
    return 2 if node.has(Role.OFFSITE) else None


def repositories(federation: Federation) -> tuple[Node, ...]:
    """The nodes that have a repository, the first one first."""
    return (*federation.with_role(Role.BACKUP), *federation.with_role(Role.OFFSITE))


def archive_command(config: str = DATABASE_CONF) -> str:
    """What PostgreSQL runs for each WAL segment."""
    return f"/usr/bin/pgbackrest --config={config} --stanza={STANZA} archive-push %p"


def database_conf(federation: Federation, node: Node, places: Places = Places()) -> str:
    """For a data node: one local cluster, every repository elsewhere (or on this node, by TLS)."""
    local = {"path": places.data, "port": federation.ports.postgres, "sockets": places.sockets}
    return _rendered(
        places,
        purpose="the database on this node",
        lock=places.lock,
        spool=places.spool,
        asynchronous=True,
        key=credential(DATABASE_UNIT, "tls.key"),
        server={
            "address": node.address,
            "port": federation.ports.pgbackrest,
            "key": credential(DATABASE_SERVER, "tls.key"),
            "clients": [keeper.name for keeper in repositories(federation)],
        },
        others=_remote(federation),
        databases=[{**local, "host": ""}],
    )


def repository_conf(federation: Federation, node: Node, places: Places = Places()) -> str:
    """For a repository's node: its own repository, every data node's cluster."""
    number = number_of(node)
    backup = federation.backup
    retention = (
        {"full": backup.keep_full, "diff": backup.keep_differential}
        if number == 1
        else {
            "full": backup.keep_offsite,
            "archive-type": "full",
            "archive": backup.keep_offsite_archive,
        }
    )
    readers = {
        n.name for n in (*federation.with_role(Role.DATA), *federation.with_role(Role.BACKUP))
    }
    return _rendered(
        places,
        purpose="the repository on this node",
        lock=f"{places.home}/lock",
        spool=f"{places.home}/spool",
        key=credential(REPOSITORY_SERVER, "tls.key"),
        server={
            "address": node.address,
            "port": federation.ports.pgbackrest_repository,
            "key": credential(REPOSITORY_SERVER, "tls.key"),
            "clients": sorted(readers),
        },
        own=[{"number": number, "path": f"{places.home}/repository", "retention": retention}],
        databases=_databases(federation, places),
    )


def test_conf(federation: Federation, places: Places = Places()) -> str:
    """For the restore test: repositories are asked as any data node asks them."""
    cluster = {"path": TEST_DATA, "port": federation.ports.postgres, "sockets": TEST_HOME}
    return _rendered(
        places,
        purpose="the restore test",
        lock=f"{TEST_HOME}/lock",
        spool=f"{TEST_HOME}/spool",
        key=credential(TEST_UNIT, "tls.key"),
        server=None,
        others=_remote(federation),
        databases=[{**cluster, "host": ""}],
    )


def _remote(federation: Federation) -> list[dict[str, Any]]:
    return [
        {
            "number": number_of(keeper),
            "host": federation.fqdn(keeper),
            "port": federation.ports.pgbackrest_repository,
            "user": USER,
            "config": REPOSITORY_CONF,
            "include": HANDED_OVER,
        }
        for keeper in repositories(federation)
    ]


def _databases(federation: Federation, places: Places) -> list[dict[str, Any]]:
    return [
        {
            "path": places.data,
            "port": federation.ports.postgres,
            "sockets": places.sockets,
            "host": federation.fqdn(node),
            "server_port": federation.ports.pgbackrest,
            "config": DATABASE_CONF,
        }
        for node in federation.with_role(Role.DATA)
    ]


def _rendered(places: Places, **values: object) -> str:
    return render(
        "pgbackrest.conf",
        **{
            "stanza": STANZA,
            "connect_seconds": CONNECT_SECONDS,
            "certificate": places.certificate,
            "authority": places.authority,
            "asynchronous": False,
            "own": [],
            "others": [],
            **values,
        },
    )
