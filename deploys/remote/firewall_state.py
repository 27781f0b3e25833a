"""Whether the loaded rules are those of the file, and nobody has touched them since.

Argument: {"path", "table", "record"}. Returns {"state"}: "loaded", "missing" (there is no such
table), "changed" (not what was loaded) or "older" (the file is newer than what was loaded). The
record holds two sha256 sums, of the file and of the listing, taken right after loading.
"""

import hashlib
import subprocess
from typing import Any


def main(argument: Any) -> Any:
    command = ["nft", "--stateless", "--numeric", "list", "table", *argument["table"].split()]
    try:
        listed = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
        )
    except FileNotFoundError:
        return {"state": "missing"}
    if listed.returncode != 0:
        return {"state": "missing"}
    try:
        with open(argument["record"]) as record:
            of_file, of_listing = [line.split()[0] for line in record.read().splitlines()]
        with open(argument["path"], "rb") as file:
            content = file.read()
    except (OSError, ValueError, IndexError):
        return {"state": "changed"}
    if hashlib.sha256(listed.stdout).hexdigest() != of_listing:
        return {"state": "changed"}
    if hashlib.sha256(content).hexdigest() != of_file:
        return {"state": "older"}
    return {"state": "loaded"}
