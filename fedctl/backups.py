"""Backups as the operator drives them: what is asked of which node, and how answers are read.

What runs on a node runs as the node's own user in a transient unit, with the credentials that user
has there, so that no key and no passphrase lies anywhere for this.
"""

import json
import re
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from daemons.backup.decide import Backup
from daemons.recovery.decide import NAME, Target, at_time, candidates
from daemons.recovery.errors import NoBackup
from deploys.errors import FailureKind, NodeError
from deploys.layout import PYTHON, SEALED_KEY
from deploys.own_secrets import PASSPHRASE
from deploys.pgbackrest import CLUSTERS, DATA, USER, number_of, repositories
from fedctl.app import App
from fedctl.errors import FedctlError
from fedctl.remote import Done, Link, Links
from inventory.home import Home
from inventory.model import Federation, Node, Role

LONG_SECONDS = 86400.0
# Backups tried, when newer ones are of a history that an earlier restore left.
TRIED = 4
SEALED_PASSPHRASE = f"/etc/federation/credentials/{PASSPHRASE}"
TLS_KEY = f"tls.key:{SEALED_KEY}"
POSTGRES = "postgres"


@dataclass(frozen=True)
class Held:
    """What one repository holds. `newest_wal` is its last segment's name."""

    node: str
    number: int
    backups: tuple[Backup, ...]
    newest_wal: str
    disk_size_bytes: int
    disk_free_bytes: int
    archive_checked: float | None


@dataclass(frozen=True)
class Goal:
    """What a person asked to go back to: everything, a time, an event's number, or a name."""

    kind: str
    text: str = "latest"
    moment: datetime | None = None
    seq: int | None = None


def goal_of(text: str) -> Goal:
    """Digits are an event's number, an ISO date and time is a time (UTC without a zone)."""
    if text == "latest":
        return Goal("latest")
    if re.fullmatch(r"[0-9]{1,18}", text):
        return Goal("seq", text, seq=int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        if not NAME.fullmatch(text):
            raise FedctlError(
                f"{text!r} is no time, no event's number and no restore point's name",
                "write a time as 2026-03-31T14:00:00Z; points: fedctl backup point NAME",
            ) from None
        return Goal("name", text)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Goal("time", aware.isoformat(), aware)


@dataclass(frozen=True)
class Choice:
    """From which repository, which backup, replayed to where."""

    held: Held
    backups: tuple[Backup, ...]
    target: Target
    seq: int | None = None

    @property
    def backup(self) -> Backup:
        """The first to try; the others when it is of a history that was left."""
        return self.backups[0]


def choose(
    held: Sequence[Held], target: Target, seq: int | None, only: int | None, label: str | None
) -> Choice:
    """The repository with the most WAL that has a backup before the target; raises NoBackup.

    Of equals the first one. `only` and `label` are the person's own choice.
    """
    found: list[Choice] = []
    reasons = [] if held else ["no repository answers"]
    for repository in held:
        if only not in (None, repository.number):
            continue
        try:
            named = [b for b in repository.backups if b.label == label]
            usable = named if label else candidates(repository.backups, target)
            first = usable[0]
        except (NoBackup, IndexError) as error:
            why = f"no backup {label}" if label else error
            reasons.append(f"repository {repository.number}: {why}")
            continue
        found.append(Choice(repository, (first, *usable[1:TRIED]), target, seq))
    if not found:
        raise NoBackup("; ".join(reasons) or f"there is no repository {only}")
    return max(found, key=lambda c: (c.held.newest_wal[8:], -c.held.number))


def target_of(
    goal: Goal, located: dict[str, Any] | None, points: "Points", *, labelled: bool = False
) -> Target:
    """PostgreSQL's target for `goal`; `located` says where the event is, when somebody knows.

    A name made elsewhere is taken when the backup is `labelled`, chosen by the person.
    """
    if goal.kind == "time" and goal.moment is not None:
        return at_time(goal.moment)
    if goal.kind == "seq" and located is not None:
        return Target("xid", located["xid"], datetime.fromisoformat(located["time"]))
    if goal.kind == "name":
        known = goal.text in points.all() or not labelled
        return Target("name", goal.text, points.get(goal.text) if known else None)
    return Target()


class Points:
    """Named restore points, as the operator's home remembers them: name -> time."""

    def __init__(self, home: Home) -> None:
        self._path = home.root / "restore-points.json"

    def all(self) -> dict[str, dict[str, str]]:
        """Every point ever made here."""
        try:
            found = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise FedctlError(f"{self._path} is not JSON: {error}", "move it away") from error
        return dict(found)

    def get(self, name: str) -> datetime:
        """When the point was made; raises FedctlError for one nobody made from here."""
        point = self.all().get(name)
        if point is None:
            raise FedctlError(
                f"no restore point {name!r} was made from here",
                "fedctl backup list shows them; with --set LABEL another one can be gone to",
            )
        return datetime.fromisoformat(point["time"])

    def add(self, name: str, made: dict[str, str]) -> None:
        """Remember a point."""
        points = {**self.all(), name: made}
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(points, indent=1) + "\n")
        temporary.replace(self._path)


def transient(
    user: str,
    argv: Sequence[str],
    *,
    credentials: Sequence[str] = (TLS_KEY,),
    handed_over: str = "",
    writes: Sequence[str] = (),
) -> list[str]:
    """A command in a unit of its own: as `user`, with these credentials, writing only to `writes`.

    `handed_over` names a folder in memory, below /run, for a secret that is given on; it goes with
    the unit, so no two may share one.
    """
    properties = [
        f"User={user}",
        *([f"RuntimeDirectory={handed_over}", "RuntimeDirectoryMode=0700"] if handed_over else []),
        *(f"LoadCredentialEncrypted={credential}" for credential in credentials),
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "UMask=0077",
        *(f"ReadWritePaths={path}" for path in writes),
    ]
    options = [word for item in properties for word in ("-p", item)]
    return ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", *options, "--", *argv]


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


def done_well(link: Link, done: Done, what: str) -> str:
    """Its output; raises NodeError with the last thing it said."""
    if done.code != 0:
        said = (
            done.err.strip().splitlines()
            or done.out.strip().splitlines()
            or [f"exit code {done.code}"]
        )
        raise NodeError(FailureKind.OPERATION, f"{link.node.name}: {what}: {said[-1]}")
    return done.out


def asked(link: Link, argv: Sequence[str], what: str, seconds: float = 120.0) -> Any:
    """The JSON a command on the node prints."""
    out = done_well(link, link.run(argv, root=True, seconds=seconds), what)
    try:
        return json.loads(out.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        text = f"{link.node.name}: {what} said {out[-200:]!r}"
        raise NodeError(FailureKind.OPERATION, text) from error


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


def shell(link: Link, script: str, what: str, seconds: float = 600.0) -> str:
    """A script as root; raises NodeError."""
    return done_well(link, link.run(["sh", "-ec", script], root=True, seconds=seconds), what)


def quoted(*words: str) -> str:
    """Words for a shell."""
    return shlex.join(words)


def last_json(lines: Sequence[str]) -> dict[str, Any]:
    """The last JSON object among lines of a journal; empty when there is none."""
    for line in reversed(lines):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            return dict(found)
    return {}
