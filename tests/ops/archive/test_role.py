"""Backups' two roles against a simulated node: what they write, and nothing the second time."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from daemons.backup.settings import BackupSettings
from daemons.restore_test.settings import RestoreTestSettings
from deploys.own_secrets import passphrase_name, passphrase_text, store_of
from deploys.pgbackrest import DATABASE_CONF, HANDED_OVER, REPOSITORY_CONF, TEST_CONF
from deploys.roles.archive import JOBS_CONFIG, TEST_CONFIG, archiving, repository
from inventory.model import Role
from inventory.sections import Backup
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from tests.ops.played import with_secrets, with_users

SITE = "federation.toml"
UNITS = "/etc/systemd/system"


@pytest.fixture
def node() -> SimulatedNode:
    """A node that keeps sealed secrets."""
    return with_secrets(with_users(SimulatedNode()), {})


@pytest.mark.parametrize("role", [Role.BACKUP, Role.OFFSITE])
def test_a_repository_is_made_once(tmp_path: Path, node: SimulatedNode, role: Role) -> None:
    where = context(tmp_path, file=SITE, role=role)
    assert plan(repository, where, node)
    done = apply(repository, where, node)
    assert "start federation-repository.service" in done
    assert "start federation-backup-check.timer" in done
    assert ("start federation-restore-test.timer" in done) is (role is Role.BACKUP)
    assert ("start federation-offsite-copy.timer" in done) is (role is Role.OFFSITE)
    assert apply(repository, where, node) == []
    assert plan(repository, where, node) == {}


def test_a_data_node_gets_a_server_once(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path, file=SITE, role=Role.DATA)
    assert "start federation-pgbackrest.service" in apply(archiving, where, node)
    assert apply(archiving, where, node) == []
    assert plan(archiving, where, node) == {}


def test_the_passphrase_is_in_no_file_and_differs(tmp_path: Path, node: SimulatedNode) -> None:
    texts = set()
    for number, role in ((1, Role.BACKUP), (2, Role.OFFSITE)):
        where = context(tmp_path, file=SITE, role=role)
        apply(repository, where, node)
        text = passphrase_text(where.home, number)
        kept = store_of(where.home).path(passphrase_name(number))
        assert kept.stat().st_mode & 0o777 == 0o600 and text not in kept.read_text()
        assert not any(text.encode() in state.get("data", b"") for state in node.paths.values())
        texts.add(text)
    assert len(texts) == 2


def test_each_server_knows_its_clients_by_name(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path, file=SITE, role=Role.BACKUP)
    apply(repository, where, node)
    apply(archiving, context(tmp_path, file=SITE, role=Role.DATA), node)
    federation = where.federation
    data = {n.name for n in federation.with_role(Role.DATA)}
    keepers = {
        n.name for n in (*federation.with_role(Role.BACKUP), *federation.with_role(Role.OFFSITE))
    }

    def clients(path: str) -> set[str]:
        return set(re.findall(r"^tls-server-auth=(\S+)=federation$", node.text(path), re.MULTILINE))

    assert clients(DATABASE_CONF) == keepers
    assert clients(REPOSITORY_CONF) == data | {where.node.name}
    hosts = re.findall(r"^pg\d-host=(.*)$", node.text(REPOSITORY_CONF), re.MULTILINE)
    assert hosts == [federation.fqdn(n) for n in federation.with_role(Role.DATA)]
    assert "queue-max" not in re.sub(r"^#.*$", "", node.text(DATABASE_CONF), flags=re.MULTILINE)
    assert not re.search(r"^repo\d-cipher", node.text(DATABASE_CONF), re.MULTILINE)
    assert not re.search(r"^repo\d-cipher", node.text(TEST_CONF), re.MULTILINE)


def test_the_jobs_accept_their_settings(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path, file=SITE, role=Role.BACKUP)
    apply(repository, where, node)
    jobs = BackupSettings.parse(tomllib.loads(node.text(JOBS_CONFIG)))
    assert jobs.repository == 1
    assert jobs.databases == len(where.federation.with_role(Role.DATA))
    test = RestoreTestSettings.parse(tomllib.loads(node.text(TEST_CONFIG)))
    assert len(test.hosts) == len(test.addresses) == jobs.databases


def test_times_and_what_is_kept_are_the_inventorys(tmp_path: Path, node: SimulatedNode) -> None:
    where = context(tmp_path, file=SITE, role=Role.BACKUP)
    wanted = Backup(nightly_at="01:30", restore_test_on="Tue", restore_test_at="23:15", keep_full=9)
    model = where.federation.model_copy(update={"backup": wanted})
    apply(repository, replace(where, federation=model), node)
    assert "OnCalendar=*-*-* 01:30:00" in node.text(f"{UNITS}/federation-backup.timer")
    assert "OnCalendar=Tue *-*-* 23:15:00" in node.text(f"{UNITS}/federation-restore-test.timer")
    assert "repo1-retention-full=9" in node.text(REPOSITORY_CONF)
    where = context(tmp_path, file=SITE, role=Role.OFFSITE)
    apply(repository, where, node)
    assert "OnCalendar=*-*-01 03:00:00" in node.text(f"{UNITS}/federation-offsite-copy.timer")
    assert "repo2-retention-archive=2" in node.text(REPOSITORY_CONF)


def test_a_repository_beside_no_database_can_restore_for_the_test(
    tmp_path: Path, node: SimulatedNode
) -> None:
    where = context(tmp_path, file=SITE, role=Role.BACKUP)
    alone = where.node.model_copy(update={"roles": (Role.BACKUP,)})
    done = apply(repository, replace(where, node=alone), node)
    before = done.index("create /etc/postgresql-common/createcluster.conf")
    assert before < next(
        n for n, text in enumerate(done) if "postgresql-15" in text and "install" in text
    )


def test_clients_have_the_repository_read_its_passphrase_in_memory(
    tmp_path: Path, node: SimulatedNode
) -> None:
    where = context(tmp_path, file=SITE, role=Role.BACKUP)
    apply(repository, where, node)
    apply(archiving, context(tmp_path, file=SITE, role=Role.DATA), node)
    unit = node.text(f"{UNITS}/federation-repository.service")
    assert f"\nRuntimeDirectory={HANDED_OVER.removeprefix('/run/')}\n" in unit
    for number in (1, 2):
        line = f"repo{number}-host-config-include-path={HANDED_OVER}\n"
        assert line in node.text(DATABASE_CONF)
        assert line in node.text(TEST_CONF)


def test_every_job_has_a_folder_of_its_own_in_memory(tmp_path: Path, node: SimulatedNode) -> None:
    for role in (Role.BACKUP, Role.OFFSITE):
        apply(repository, context(tmp_path, file=SITE, role=role), node)
    written = [state.get("data", b"").decode() for state in node.paths.values()]
    jobs = [text for text in written if "-m daemons.backup" in text]
    folders = [re.findall(r"^RuntimeDirectory=(.*)$", text, re.MULTILINE) for text in jobs]
    assert len(folders) == 4
    assert len({folder for [folder] in folders}) == 4
