"""Put a model in its folder: made here by a program, or from files that were copied here.

Argument: {"path": PATH, "digest": HEX, "make": [WORD, ...] or [], "files": {NAME: SHA256},
"keep": N}.
With `make` the command, given PATH as its last word, makes the whole folder by itself. Else every
file is checked by hash in the folder it was copied to, which is then renamed. The newest N models
stay.
"""

import hashlib
import os
import shutil
import subprocess
from typing import Any

MARKER = ".complete"
TIMEOUT_SECONDS = 600


def main(argument: Any) -> None:
    path = argument["path"]
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    # What is there without the right marker is a leftover or damaged.
    if os.path.lexists(path) and marker(path) != argument["digest"]:
        shutil.rmtree(path)
    if argument["make"]:
        make([*argument["make"], path])
    else:
        admit(path, argument)
    prune(folder, os.path.basename(path), argument["keep"])


def make(command: Any) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()
        raise SystemExit(f"making the model failed: {said[-2000:]}")


def admit(path: str, argument: Any) -> None:
    folder, name = os.path.split(path)
    incoming = os.path.join(folder, ".incoming-" + name)
    for file, digest in argument["files"].items():
        full = os.path.join(incoming, file)
        if not os.path.isfile(full):
            raise SystemExit(f"{file} did not arrive")
        if sha256(full) != digest:
            os.unlink(full)
            raise SystemExit(f"{file} is damaged: its hash is not the operator's; run this again")
    subprocess.run(["sync", "--file-system", incoming], check=False)
    with open(os.path.join(incoming, MARKER), "w") as file:
        file.write(argument["digest"] + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(incoming, path)


def prune(folder: str, newest: str, keep: int) -> None:
    others = [n for n in os.listdir(folder) if n != newest]
    complete = [n for n in others if marker(os.path.join(folder, n))]
    complete.sort(key=lambda n: os.stat(os.path.join(folder, n, MARKER)).st_mtime, reverse=True)
    for name in others:
        if name not in complete[: keep - 1]:
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def marker(path: str) -> str:
    try:
        with open(os.path.join(path, MARKER)) as file:
            return file.read().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
