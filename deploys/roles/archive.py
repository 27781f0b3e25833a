"""Backups: pgBackRest's server beside each database, and a repository on two other nodes.

`archiving` is every data node's: what its archiver and its restores read, and the server by which
repositories copy the cluster. `repository` is the backup and off-site nodes': the server that takes
WAL, the jobs, their timers, and on the first one the restore test.
"""

from pydantic import SecretStr
from pyinfra.api import deploy

from deploys import postgres
from deploys.context import NodeContext
from deploys.errors import DeployError
from deploys.exporters import masks, unit_file
from deploys.layout import CONFIG, LIBRARY, PYTHON, unit_path
from deploys.log_key import log_vkey
from deploys.operations.files import ManagedDirectory, ManagedFile, managed
from deploys.operations.packages import packages
from deploys.operations.secrets import secret
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.own_secrets import PASSPHRASE, passphrase_text
from deploys.pgbackrest import (
    DATABASE_CONF,
    DATABASE_SERVER,
    FOLDER,
    REPOSITORY_CONF,
    REPOSITORY_SERVER,
    TEST_CONF,
    TEST_UNIT,
    TEST_USER,
    USER,
    database_conf,
    number_of,
    repository_conf,
    test_conf,
)
from deploys.roles.node_exporter import TEXTFILES
from deploys.roles.node_exporter import USER as NODE_USER
from deploys.templates import render
from inventory.model import Federation, Role

PACKAGE = "pgbackrest"
SEALED = f"{CONFIG}/credentials/{PASSPHRASE}"
WRAPPER = f"{LIBRARY}/with_passphrase"
JOBS_CONFIG = f"{CONFIG}/backup.toml"
TEST_CONFIG = f"{CONFIG}/restore-test.toml"
VKEY = f"{FOLDER}/ledger.vkey"
NIGHTLY, FULL = "federation-backup", "federation-backup-full"
OFFSITE, CHECK, TEST = (
    "federation-offsite-copy",
    "federation-backup-check",
    "federation-restore-test",
)
# Debian's package has a unit of its own for the same port.
DEBIAN_UNIT = "pgbackrest.service"


def archived(federation: Federation) -> bool:
    """Whether there is a repository at all."""
    return bool(federation.with_role(Role.BACKUP))


@deploy("Archiving")
def archiving(context: NodeContext) -> None:
    """What this data node's archiver and its restores need, and the server for the repositories."""
    federation = context.federation
    if not archived(federation):
        return
    managed(
        name="Archiving: configuration",
        directories=[ManagedDirectory(FOLDER)] if number_of(context.node) is None else [],
        files=[
            ManagedFile(DATABASE_CONF, database_conf(federation, context.node)),
            unit_file(DATABASE_SERVER, [DATABASE_CONF], config=DATABASE_CONF),
            *([] if number_of(context.node) == 1 else [_vkey(context)]),
        ],
        links=masks([DEBIAN_UNIT]) if number_of(context.node) is None else [],
    )
    packages(name="Archiving: package", names=[PACKAGE])
    units(name="Archiving: server", units=[Unit(DATABASE_SERVER)])


@deploy("Repository")
def repository(context: NodeContext) -> None:
    """This node's repository, its jobs, and when they run."""
    number = number_of(context.node)
    if number is None:
        raise DeployError(f"{context.node.name} has no repository")
    _software(context)
    managed(
        name="Repository: configuration", files=[*_files(context, number), *_jobs(context, number)]
    )
    system_users(name="Repository: users", owner="repository", users=_users(number))
    secret(
        name="Repository: passphrase",
        path=SEALED,
        credential=PASSPHRASE,
        content=SecretStr(passphrase_text(context.home, number)),
    )
    timers = [NIGHTLY, CHECK, TEST] if number == 1 else [OFFSITE, CHECK]
    units(
        name="Repository: service and timers",
        units=[Unit(REPOSITORY_SERVER), *(Unit(f"{name}.timer") for name in timers)],
    )


def _users(number: int) -> list[SystemUser]:
    """Their figures go to a folder of node_exporter's group."""
    found = [SystemUser(USER, "Federation backup repository", groups=(NODE_USER,))]
    if number == 1:
        found.append(SystemUser(TEST_USER, "Federation restore test", groups=(NODE_USER,)))
    return found


def _software(context: NodeContext) -> None:
    """pgBackRest, and where backups are restored for a test, PostgreSQL without a cluster."""
    node = context.node
    restores = node.has(Role.BACKUP) and not node.has(Role.DATA)
    managed(
        name="Repository: before its packages",
        directories=[
            ManagedDirectory(FOLDER),
            *([ManagedDirectory(postgres.COMMON)] if restores else []),
        ],
        files=[
            ManagedFile(WRAPPER, render("with_passphrase", credential=PASSPHRASE), mode=0o755),
            *([ManagedFile(postgres.NO_CLUSTER_FILE, postgres.NO_CLUSTER)] if restores else []),
        ],
        links=masks([DEBIAN_UNIT, *(postgres.DEBIAN_UNITS if restores else ())]),
    )
    names = [PACKAGE, *([postgres.PACKAGE] if restores else [])]
    packages(name="Repository: packages", names=names)


def _files(context: NodeContext, number: int) -> list[ManagedFile]:
    federation, node = context.federation, context.node
    data = federation.with_role(Role.DATA)
    live = {
        "hosts": [federation.fqdn(member) for member in data],
        "addresses": [member.address for member in data],
        "port": federation.ports.postgres,
    }
    found = [
        ManagedFile(REPOSITORY_CONF, repository_conf(federation, node)),
        ManagedFile(
            JOBS_CONFIG,
            render(
                "backup.toml",
                node=node.name,
                number=number,
                databases=len(data),
                full_on=federation.backup.full_on,
                **live,
            ),
        ),
    ]
    if number == 1:
        found += [
            ManagedFile(TEST_CONF, test_conf(federation)),
            _vkey(context),
            ManagedFile(
                TEST_CONFIG,
                render(
                    "restore-test.toml",
                    node=node.name,
                    **live,
                    max_gib=federation.backup.restore_test_max_gib,
                ),
            ),
        ]
    return found


def _vkey(context: NodeContext) -> ManagedFile:
    """What a restored ledger is verified against."""
    return ManagedFile(VKEY, log_vkey(context.federation, context.home) + "\n")


def _jobs(context: NodeContext, number: int) -> list[ManagedFile]:
    """The units: services for what can be asked for, timers for what happens by itself."""
    backup = context.federation.backup
    common = {
        "python": PYTHON,
        "textfiles": TEXTFILES,
        "memory_max_mib": context.node.limits.service_memory_max_mib,
    }
    job = {**common, "config": JOBS_CONFIG, "credential": PASSPHRASE, "sealed": SEALED}
    found = [
        unit_file(
            REPOSITORY_SERVER,
            [REPOSITORY_CONF, SEALED, WRAPPER],
            number=number,
            config=REPOSITORY_CONF,
            credential=PASSPHRASE,
            sealed=SEALED,
        ),
        ManagedFile(unit_path(f"{CHECK}.service"), render(f"{CHECK}.service", **job)),
        _timer(CHECK, ""),
    ]
    if number == 2:
        found.append(
            ManagedFile(unit_path(f"{OFFSITE}.service"), render(f"{OFFSITE}.service", **job))
        )
        return [*found, _timer(OFFSITE, f"*-*-01 {backup.offsite_at}:00")]
    tests = {**common, "config": TEST_CONFIG}
    return [
        *found,
        *(
            ManagedFile(unit_path(f"{name}.service"), render(f"{name}.service", **job))
            for name in (NIGHTLY, FULL)
        ),
        _timer(NIGHTLY, f"*-*-* {backup.nightly_at}:00"),
        ManagedFile(unit_path(TEST_UNIT), render(TEST_UNIT, **tests)),
        _timer(TEST, f"{backup.restore_test_on} *-*-* {backup.restore_test_at}:00"),
    ]


def _timer(name: str, calendar: str) -> ManagedFile:
    return ManagedFile(unit_path(f"{name}.timer"), render(f"{name}.timer", calendar=calendar))
