"""Write directories, files and links, and remove paths; every file atomically.

Argument: {"directories": [{path, mode, owner, group}], "files": [{path, mode, owner, group,
content (base64)}], "links": [{path, target}], "absent": [PATH]}, done in that order. A file is
written to a 0600 temporary beside it, synced and renamed: a reader sees the old or the new one, and
an interruption leaves the old one. Returns the number of paths it changed.
"""

import base64
import grp
import os
import pwd
import shutil
import stat
import tempfile
from typing import Any


def main(argument: Any) -> Any:
    for item in argument.get("directories", ()):
        directory(item)
    for item in argument.get("files", ()):
        write(item)
    for item in argument.get("links", ()):
        link(item)
    for path in argument.get("absent", ()):
        remove(path)
    return sum(len(argument.get(kind, ())) for kind in ("directories", "files", "links", "absent"))


def directory(item: Any) -> None:
    path = item["path"]
    if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
        os.unlink(path)
    os.makedirs(path, mode=0o755, exist_ok=True)
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        own(handle, item)
    finally:
        os.close(handle)


def write(item: Any) -> None:
    path = item["path"]
    if os.path.isdir(path) and not os.path.islink(path):
        raise SystemExit(f"{path} is a directory, a file was expected")
    handle, temporary = tempfile.mkstemp(prefix=".federation-", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64decode(item["content"]))
            file.flush()
            own(file.fileno(), item)
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync(os.path.dirname(path))


def own(handle: int, item: Any) -> None:
    # Owner first: chown clears set-user-id bits.
    os.fchown(handle, number(pwd.getpwnam, item["owner"]), number(grp.getgrnam, item["group"]))
    os.fchmod(handle, item["mode"])


def number(lookup: Any, name: str) -> int:
    try:
        return int(lookup(name)[2])
    except KeyError:
        raise SystemExit(f"there is no user or group {name!r} on this machine") from None


def link(item: Any) -> None:
    path = item["path"]
    if os.path.isdir(path) and not os.path.islink(path):
        raise SystemExit(f"{path} is a directory, a link was expected")
    temporary = tempfile.mktemp(prefix=".federation-", dir=os.path.dirname(path))  # noqa: S306
    os.symlink(item["target"], temporary)
    os.rename(temporary, path)
    sync(os.path.dirname(path))


def remove(path: str) -> None:
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return
    sync(os.path.dirname(path))


def sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
