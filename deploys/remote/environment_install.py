"""Install a Python environment from wheels that are already on this machine, and switch to it.

Argument: {"folder": PATH, "name": NAME, "digest": HEX, "wheels": {FILE: SHA256}, "installer": FILE,
"imports": [MODULE, ...], "link": PATH or "", "previous": PATH or "", "keep": N, "compile": BOOL,
"wheelhouse": PATH, "families": [PATH, ...]}. `families` are all folders whose environments share
the wheels.

Every wheel is checked by hash. The environment is made beside its place and renamed into it, its
marker written last; then the link is swapped in one step. An interruption anywhere leaves the old
environment in use and the next run starts over. The newest N stay, and always the one in use and
the one before it. Nothing is fetched from anywhere.
"""

import hashlib
import os
import shutil
import subprocess
import zipfile
from typing import Any

MARKER = ".complete"
SUMS = "SHA256SUMS"
PYTHON = "/usr/bin/python3"
TIMEOUT_SECONDS = 1200


def main(argument: Any) -> None:
    folder, name = argument["folder"], argument["name"]
    place = os.path.join(folder, name)
    pool = os.path.join(argument["wheelhouse"], "pool")
    if read(os.path.join(place, MARKER)) != argument["digest"]:
        admit(argument, pool)
        os.makedirs(folder, exist_ok=True)
        install(argument, pool, os.path.join(folder, ".new-" + name), place)
    if argument["link"]:
        switch(argument["link"], argument["previous"], place)
    prune(argument, pool)


def admit(argument: Any, pool: str) -> None:
    """Move what arrived into the pool, where names are hashes; check all that is needed."""
    incoming = os.path.join(argument["wheelhouse"], "incoming")
    os.makedirs(pool, exist_ok=True)
    for file, digest in argument["wheels"].items():
        arrived, kept = os.path.join(incoming, file), os.path.join(pool, digest)
        if os.path.exists(arrived) and not os.path.exists(kept):
            os.rename(arrived, kept)
        if not os.path.exists(kept):
            raise SystemExit(f"{file} did not arrive")
        if sha256(kept) != digest:
            os.unlink(kept)
            raise SystemExit(f"{file} is damaged: its hash is not what the operator built")
    shutil.rmtree(incoming, ignore_errors=True)


def install(argument: Any, pool: str, new: str, place: str) -> None:
    work = os.path.join(argument["wheelhouse"], ".work-" + argument["name"])
    for leftover in (work, new):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        os.makedirs(work)
        for file, digest in argument["wheels"].items():
            os.link(os.path.join(pool, digest), os.path.join(work, file))
        uv = unpack_installer(os.path.join(work, argument["installer"]), work)
        requirements = os.path.join(work, "requirements.txt")
        with open(requirements, "w") as text:
            text.write(locked(argument))
        environment = {
            "HOME": work, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "UV_NO_CONFIG": "1",
            "UV_CACHE_DIR": os.path.join(work, "cache"), "UV_LINK_MODE": "hardlink",
            "UV_PYTHON_DOWNLOADS": "never",
        }  # fmt: skip
        run(
            [uv, "venv", "--quiet", "--offline", "--relocatable", "--python", PYTHON, new],
            environment,
        )
        python = os.path.join(new, "bin", "python")
        run(
            [uv, "pip", "sync", "--quiet", "--offline", "--no-index", "--find-links", work,
             "--require-hashes", "--python", python,
             *(["--compile-bytecode"] if argument["compile"] else []), requirements],
            environment,
        )  # fmt: skip
        if argument["imports"]:
            run([python, "-I", "-B", "-c", "import " + ", ".join(argument["imports"])], environment)
        sums = sorted(argument["wheels"].items())
        write(os.path.join(new, SUMS), "".join(f"{digest}  {file}\n" for file, digest in sums))
        # Everything must be on disk before the marker says so.
        subprocess.run(["sync", "--file-system", new], check=False)
        write(os.path.join(new, MARKER), argument["digest"] + "\n")
        replace(new, place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(new, ignore_errors=True)


def locked(argument: Any) -> str:
    lines = []
    for file, digest in sorted(argument["wheels"].items()):
        if file != argument["installer"]:
            name, version = file.split("-")[:2]
            lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    return "".join(lines)


def unpack_installer(wheel: str, work: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        member = next(n for n in archive.namelist() if n.endswith(".data/scripts/uv"))
        program = os.path.join(work, "uv")
        with archive.open(member) as source, open(program, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    os.chmod(program, 0o700)
    return program


def replace(new: str, place: str) -> None:
    """Put `new` in its place; what was there under the same name goes."""
    old = os.path.join(os.path.dirname(place), ".old-" + os.path.basename(place))
    shutil.rmtree(old, ignore_errors=True)
    if os.path.lexists(place):
        os.rename(place, old)
    os.rename(new, place)
    sync_folder(os.path.dirname(place))
    shutil.rmtree(old, ignore_errors=True)


def switch(link: str, previous: str, place: str) -> None:
    """Point `link` at the environment in one step, and remember where it pointed before."""
    before = os.readlink(link) if os.path.islink(link) else ""
    target = os.path.relpath(place, os.path.dirname(link))
    if before == target:
        return
    if before and previous:
        point(previous, before)
    point(link, target)


def point(link: str, target: str) -> None:
    temporary = link + ".new"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, link)
    sync_folder(os.path.dirname(link))


def prune(argument: Any, pool: str) -> None:
    """Remove old environments of this folder, leftovers, and wheels no environment was made of."""
    folder = argument["folder"]
    used = {argument["name"]}
    for link in (argument["link"], argument["previous"]):
        if link and os.path.islink(link):
            used.add(os.path.basename(os.readlink(link)))
    complete = [n for n in os.listdir(folder) if read(os.path.join(folder, n, MARKER))]
    complete.sort(key=lambda n: os.stat(os.path.join(folder, n, MARKER)).st_mtime, reverse=True)
    for name in os.listdir(folder):
        if name not in used and name not in complete[: argument["keep"]]:
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    needed: Any = set()
    for family in (folder, *argument["families"]):
        for name in os.listdir(family) if os.path.isdir(family) else ():
            lines = read(os.path.join(family, name, SUMS)).splitlines()
            needed.update(line.split()[0] for line in lines if line)
    for digest in os.listdir(pool) if os.path.isdir(pool) else ():
        if digest not in needed:
            os.unlink(os.path.join(pool, digest))


def run(command: Any, environment: Any) -> None:
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip()
        raise SystemExit(f"{os.path.basename(command[0])} failed: {said[-2000:]}")


def sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
