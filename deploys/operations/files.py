"""Keep files, directories and links as they should be: one fact, at most one command.

Every file is replaced atomically, so an interrupted run leaves old or new, never half. Contents
travel on stdin. A secret file's content appears nowhere but on the node: no diff, no log.
"""

import base64
import difflib
import hashlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra.api import operation
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.files import PathStates
from deploys.protocol import Change
from deploys.script import NodeScript

ABSENT: Mapping[str, Any] = {"kind": "absent"}


@dataclass(frozen=True)
class ManagedFile:
    """A file with this content, mode and owner; `secret` keeps its content out of every output."""

    path: str
    content: str | bytes
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    secret: bool = False

    @property
    def data(self) -> bytes:
        """The content as bytes (text is UTF-8)."""
        return self.content.encode() if isinstance(self.content, str) else self.content

    @property
    def sha256(self) -> str:
        """Hash of the content, as hex."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class ManagedDirectory:
    """A directory with this mode and owner; what is in it is not looked at."""

    path: str
    mode: int = 0o755
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True)
class ManagedLink:
    """A symbolic link that says exactly `target`."""

    path: str
    target: str


@operation()
def managed(
    files: Sequence[ManagedFile] = (),
    directories: Sequence[ManagedDirectory] = (),
    links: Sequence[ManagedLink] = (),
    absent: Sequence[str] = (),
) -> Generator[NodeScript, None, None]:
    """Make these paths so, in this order: directories (outer first), files, links, removals.

    Owners and groups must exist when it runs. The folder of a file must exist or be listed.
    """
    states = host.get_fact(
        PathStates,
        paths=[*_paths(directories), *_paths(files), *_paths(links), *absent],
        wanted={file.path: file.sha256 for file in files},
        secret=[file.path for file in files if file.secret],
    )
    plan = difference(states, files, directories, links, absent)
    if not plan.changes:
        host.noop(f"{len(states)} paths are as they should be")
        return
    announce(plan.changes)
    yield NodeScript("files_write", plan.argument, [str(change) for change in plan.changes])


def _paths(items: Sequence[ManagedFile | ManagedDirectory | ManagedLink]) -> list[str]:
    return [item.path for item in items]


@dataclass(frozen=True)
class Difference:
    """What must change, for people (`changes`) and for the script that does it (`argument`)."""

    changes: tuple[Change, ...]
    argument: Mapping[str, Any]


def difference(
    states: Mapping[str, Mapping[str, Any]],
    files: Sequence[ManagedFile] = (),
    directories: Sequence[ManagedDirectory] = (),
    links: Sequence[ManagedLink] = (),
    absent: Sequence[str] = (),
) -> Difference:
    """Compare what is at each path with what should be there; pure."""
    changes: list[Change] = []
    argument: dict[str, list[Any]] = {"directories": [], "files": [], "links": [], "absent": []}
    for item in directories:
        state = states.get(item.path, ABSENT)
        if state["kind"] != "directory" or not _owned(state, item):
            changes.append(Change(_verb(state), item.path + "/", _ownership(state, item)))
            argument["directories"].append(_described(item))
    for file in files:
        state = states.get(file.path, ABSENT)
        same = state["kind"] == "file" and state["sha256"] == file.sha256
        if not same or not _owned(state, file):
            diff = _ownership(state, file) + ("" if same else _text_diff(state, file))
            changes.append(Change(_verb(state), file.path, diff))
            content = base64.b64encode(file.data).decode()
            argument["files"].append({**_described(file), "content": content})
    for link in links:
        state = states.get(link.path, ABSENT)
        if state["kind"] != "link" or state["target"] != link.target:
            was = f"-> {state['target']}" if state["kind"] == "link" else state["kind"]
            diff = f"-{was}\n+-> {link.target}\n"
            changes.append(Change(_verb(state), link.path, diff))
            argument["links"].append({"path": link.path, "target": link.target})
    for path in absent:
        if states.get(path, ABSENT)["kind"] != "absent":
            changes.append(Change("remove", path))
            argument["absent"].append(path)
    return Difference(tuple(changes), argument)


def _described(item: ManagedFile | ManagedDirectory) -> dict[str, Any]:
    return {"path": item.path, "mode": item.mode, "owner": item.owner, "group": item.group}


def _owned(state: Mapping[str, Any], item: ManagedFile | ManagedDirectory) -> bool:
    return (state["mode"], state["owner"], state["group"]) == (item.mode, item.owner, item.group)


def _verb(state: Mapping[str, Any]) -> str:
    return "create" if state["kind"] == "absent" else "update"


def _ownership(state: Mapping[str, Any], item: ManagedFile | ManagedDirectory) -> str:
    new = f"{item.mode:04o} {item.owner}:{item.group}"
    if state["kind"] == "absent":
        return f"+{new}\n"
    old = f"{state['mode']:04o} {state['owner']}:{state['group']}"
    kind = "" if state["kind"] in ("file", "directory") else f" ({state['kind']})"
    return "" if old == new and not kind else f"-{old}{kind}\n+{new}\n"


def _text_diff(state: Mapping[str, Any], file: ManagedFile) -> str:
    """A unified diff of old and new content; empty for secrets and for what is not text."""
    if file.secret:
        return ""
    try:
        old = base64.b64decode(state.get("content", "")).decode()
        new = file.data.decode()
    except UnicodeDecodeError:
        return ""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), file.path, file.path
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)
