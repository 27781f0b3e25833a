"""What is wrong with how secrets are kept, at the operator and on nodes. Reads only.

At the operator every file of the federation's folder is read (not caches, not the lab's machines)
and searched for private keys, API keys and the very values that the store holds. On nodes
`deploys/remote/secrets_audit.py` looks; a Mac keeps its key in a file, so only Linux is asked.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from deploys import remote as scripts
from deploys.errors import FailureKind, NodeError
from deploys.own_secrets import store_of
from deploys.remote.secrets_audit import PATTERNS
from deploys.secret_catalog import IDENTITY, KNOWN, STORED, plain_path
from fedctl.remote import Link
from inventory.home import Home
from trust.errors import TrustError
from trust.files import EXPOSED
from trust.in_memory import left_over
from trust.secret_store import SUFFIX

HERE = "operator"
NODE_SECONDS = 120.0
NODE_FOLDERS = ("/etc/federation", "/etc/systemd/system", "/var/lib/federation", "/run/federation")
CREDENTIALS = "/etc/federation/credentials"
SHORTEST = 16
CHUNK = 1 << 20
ROTATE = "fedctl secrets rotate"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be; `where` is a node's name, or `operator`."""

    where: str
    path: str
    what: str
    advice: str


def at_operator(home: Home, now: datetime) -> Iterator[Finding]:
    """Everything that is wrong here."""
    values: dict[bytes, str] = {}
    store = store_of(home)
    for known in STORED:
        plain = plain_path(home, known.name)
        if plain.exists():
            advice = "the next command that needs it takes it into the store"
            advice += "; or delete it" if store.path(known.name).exists() else ""
            yield _finding(plain, f"{known.name} in plain text", advice)
        if not store.path(known.name).exists():
            continue
        try:
            found = store.opened(known.name)
        except TrustError as error:
            yield _finding(store.path(known.name), str(error), "docs/how-to/secrets.md")
            continue
        values |= {line.encode(): known.name for line in _telling(found.text)}
        yield from _overdue(known.name, store.path(known.name), found.made, now)
    for folder in left_over(home.key_folder) if home.key_folder else ():
        yield _finding(folder, "keys that a killed command left", f"rm -r {folder}")
    yield from _files(home, now)
    yield from _identity_place(home)
    yield from _contents(home, values)


def on_node(link: Link) -> list[Finding]:
    """What the node's own look at its disk found; raises NodeError when it could not look."""
    argument = json.dumps({"folders": NODE_FOLDERS, "credentials": CREDENTIALS})
    folder = Path(scripts.__file__).parent
    program = (folder / "secrets_audit.py").read_text()
    program += f"\nimport json\nprint(json.dumps(main(json.loads({argument!r}))))\n"
    done = link.run(["python3", "-I", "-"], root=True, stdin=program, seconds=NODE_SECONDS)
    if done.code != 0:
        said = done.err.strip().splitlines() or ["it said nothing"]
        raise NodeError(FailureKind.OPERATION, f"{link.node.name} could not look: {said[-1]}")
    advice = f"find out who wrote it, delete it, replace the secret; fedctl apply {link.node.name}"
    return [
        Finding(link.node.name, each["path"], each["what"], advice) for each in json.loads(done.out)
    ]


def _finding(path: Path, what: str, advice: str) -> Finding:
    return Finding(HERE, str(path), what, advice)


def _overdue(name: str, path: Path, made: datetime, now: datetime) -> Iterator[Finding]:
    days = KNOWN[name].due_days
    if days is not None and now - made > timedelta(days=days):
        what = f"{name} is {(now - made).days} days old, more than {days}"
        yield _finding(path, what, f"{ROTATE} {name}")


def _files(home: Home, now: datetime) -> Iterator[Finding]:
    """Modes and owners of what is private, and the age of the identity."""
    private = [*sorted(home.secrets.glob(f"*{SUFFIX}")), home.secrets, home.authority]
    private.append(home.identity)
    for path in private:
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        if found.st_mode & EXPOSED or found.st_uid != os.geteuid():
            wanted = "700" if stat.S_ISDIR(found.st_mode) else "600"
            what = f"mode {found.st_mode & 0o777:04o}, owner {found.st_uid}: not yours alone"
            yield _finding(path, what, f"chown {os.geteuid()} {path}; chmod {wanted} {path}")
    if home.identity.exists():
        made = datetime.fromtimestamp(home.identity.stat().st_mtime, now.tzinfo)
        yield from _overdue(IDENTITY, home.identity, made, now)


def _identity_place(home: Home) -> Iterator[Finding]:
    advice = "move it, and name it with FEDERATION_AGE_IDENTITY"
    place = home.identity.resolve()
    if home.identity.exists() and home.root.resolve() in place.parents:
        what = "the identity lies in the folder it protects: a copy of that has everything"
        yield _finding(home.identity, what, advice)
    if home.identity.exists() and any((folder / ".git").exists() for folder in place.parents):
        yield _finding(home.identity, "the identity lies in a git working tree", advice)


def _contents(home: Home, values: dict[bytes, str]) -> Iterator[Finding]:
    expected = {plain_path(home, known.name) for known in STORED}  # told of already
    expected.add(home.identity)
    # One scan for all: alternatives of fixed text, so that a value is found inside any line.
    known = [re.compile(b"|".join(map(re.escape, sorted(values))))] if values else []
    for path in _walk(home.root, {home.cache, home.lab}):
        if path in expected or path.suffix == SUFFIX:
            continue
        for what in _inside(path, known, values):
            advice = "delete the file, and replace the secret if others may have read it"
            yield _finding(path, what, advice)


def _inside(
    path: Path, known: Sequence[re.Pattern[bytes]], values: dict[bytes, str]
) -> Iterator[str]:
    """What secrets the file holds, each once; read in overlapping chunks."""
    told: set[str] = set()
    try:
        with path.open("rb") as file:
            rest = b""
            while chunk := file.read(CHUNK):
                chunk, rest = rest + chunk, chunk[-256:]
                told |= {what for pattern, what in PATTERNS if pattern.search(chunk)}
                told |= {f"the value of {values[m[0]]}" for p in known for m in p.finditer(chunk)}
    except FileNotFoundError:
        return
    yield from sorted(told)


def _walk(folder: Path, without: set[Path]) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if Path(here, name) not in without)
        for name in sorted(names):
            path = Path(here, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _telling(text: str) -> list[str]:
    """The lines of a secret that give it away; PEM's own frame does not."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if len(line) >= SHORTEST and not line.startswith("-----")]
