"""What is at some paths: kind, mode, owner, sha256, and the old text where a diff will be shown.

Argument: {"paths": [PATH, ...], "wanted": {PATH: SHA256}, "secret": [PATH, ...]}. Returns
{PATH: {"kind": "file"|"directory"|"link"|"absent"|"other", ...}}. A file's content (base64) comes
back only when it differs from what is wanted, is no secret and is under 256 KiB.
"""

import base64
import grp
import hashlib
import os
import pwd
import stat
from typing import Any

CONTENT_LIMIT = 256 * 1024


def main(argument: Any) -> Any:
    wanted, secret = argument.get("wanted", {}), set(argument.get("secret", ()))
    return {path: state(path, wanted.get(path), path in secret) for path in argument["paths"]}


def state(path: str, wanted: Any, secret: bool) -> Any:
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return {"kind": "absent"}
    answer: Any = {
        "mode": stat.S_IMODE(found.st_mode),
        "owner": name(pwd.getpwuid, found.st_uid),
        "group": name(grp.getgrgid, found.st_gid),
    }
    if stat.S_ISDIR(found.st_mode):
        return {"kind": "directory", **answer}
    if stat.S_ISLNK(found.st_mode):
        return {"kind": "link", "target": os.readlink(path), **answer}
    if not stat.S_ISREG(found.st_mode):
        return {"kind": "other", **answer}
    with open(path, "rb") as file:
        content = file.read()
    answer.update(kind="file", sha256=hashlib.sha256(content).hexdigest())
    differs = wanted is not None and wanted != answer["sha256"]
    if differs and not secret and len(content) <= CONTENT_LIMIT:
        answer["content"] = base64.b64encode(content).decode()
    return answer


def name(lookup: Any, number: int) -> str:
    try:
        return str(lookup(number)[0])
    except KeyError:
        return str(number)
