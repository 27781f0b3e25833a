"""Compile the gateway's path of a request for the nodes: mypyc makes C of it, gcc a library.

The wheel of a release then is for one interpreter and processor (`cp311`, x86-64), which is what
the nodes' other wheels are anyway, and holds the sources as well. A machine that cannot compile for
the nodes (no compiler, a newer glibc than theirs, another processor) builds the wheel without, and
says so: the gateway is the same, but slower. `FEDERATION_COMPILE=no` asks for that.

It takes a minute or two, so what was made is kept under the digest of what it was made from: the
gateway's package and those below it, the compilers, the interpreter.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from deploys import wheelhouse
from deploys.errors import BuildMissing
from gateway.compiled import MODULES

SWITCH = "FEDERATION_COMPILE"
COMPILER = "gcc"
# What Debian 12 has: a library made against a newer one may not load on a node.
NODES_GLIBC = (2, 36)
# The packages whose types the compiler uses: the gateway's own and all it may import.
PACKAGES = ("gateway", "ledger", "trust", "inventory")
COMPILE_SECONDS = 1200
KEPT = 4
COMPILE = """\
from mypyc.build import mypycify
from setuptools import setup

files = {files!r}
setup(
    name="gateway-compiled",
    packages=[],
    ext_modules=mypycify(
        ["--config-file=pyproject.toml", *files],
        opt_level="2", debug_level="0", group_name="gateway_compiled",
    ),
)
"""
# For the project's wheel: the libraries were made before, and go where setuptools wants them.
PACK = """\
import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

MADE = Path({made!r})


class Copy(build_ext):
    def build_extension(self, ext):
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(MADE / self.get_ext_filename(ext.name), target)


setup(ext_modules=[Extension(name, []) for name in {names!r}], cmdclass={{"build_ext": Copy}})
"""


def hindrance() -> str | None:
    """Why this machine cannot compile for the nodes; None: it can."""
    machine = f"{platform.system()} {platform.machine()}"
    if os.environ.get(SWITCH, "").lower() in ("no", "0", "false"):
        return f"{SWITCH} says so"
    if machine != "Linux x86_64":
        return f"the nodes are Linux x86_64, this is {machine}"
    if ".".join(platform.python_version_tuple()[:2]) != wheelhouse.PYTHON_VERSION:
        nodes = wheelhouse.PYTHON_VERSION
        return f"the nodes run Python {nodes}, this is {platform.python_version()}"
    return _newer_glibc() or _lacking()


def _newer_glibc() -> str | None:
    name, found = platform.libc_ver()
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if name != "glibc" or numbers > NODES_GLIBC:
        return f"the nodes have glibc {'.'.join(map(str, NODES_GLIBC))}, this is {name} {found}"
    return None


def _lacking() -> str | None:
    if find_spec("mypyc") is None:
        return "mypy is not installed here"
    if shutil.which(COMPILER) is None:
        return f"{COMPILER} is not installed; apt-get install gcc libc6-dev"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        return f"{header} is missing; apt-get install python3-dev"
    return None


def libraries(source: Path, cache: Path) -> Path:
    """The folder with the libraries of the modules in `source`, made unless it is in `cache`.

    Only for a machine without a hindrance. Raises BuildMissing with the compiler's words.
    """
    folder = cache / digest(source)[:16]
    if folder.is_dir():
        return folder
    with wheelhouse.beside(folder) as made, tempfile.TemporaryDirectory() as work:
        _compile(source, Path(work), made)
    kept = sorted(cache.iterdir(), key=lambda place: place.stat().st_mtime, reverse=True)
    for old in kept[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def digest(source: Path) -> str:
    """SHA-256 over all that the libraries are made from."""
    found = hashlib.sha256(f"{toolchain()}\0{COMPILE}\0{MODULES}".encode())
    for path in _inputs(source):
        content = (source / path).read_bytes()
        found.update(f"{path.as_posix()}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


def toolchain() -> str:
    """What makes a wheel from sources: the interpreter, and the compilers where they are used."""
    why_not = hindrance()
    if why_not is not None:
        return sys.version
    said = subprocess.run(
        [COMPILER, "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    return "\0".join((sys.version, version("mypy"), said.stdout.partition("\n")[0]))


def pack(copy: Path, made: Path) -> None:
    """Have the wheel that is built in `copy` hold the libraries in `made`, beside the sources."""
    names = [
        ".".join(path.relative_to(made).with_name(path.name.partition(".")[0]).parts)
        for path in sorted(made.rglob("*.so"))
    ]
    (copy / "setup.py").write_text(PACK.format(made=str(made), names=names))


def _inputs(source: Path) -> list[Path]:
    files = [path for package in PACKAGES for path in (source / package).rglob("*.py")]
    return sorted(path.relative_to(source) for path in (*files, source / "pyproject.toml"))


def _compile(source: Path, work: Path, made: Path) -> None:
    for path in _inputs(source):
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, work / path)
    files = [f"{module.replace('.', '/')}.py" for module in MODULES]
    (work / "compile.py").write_text(COMPILE.format(files=files))
    done = subprocess.run(
        [sys.executable, "compile.py", "-q", "build_ext", f"--build-lib={made}"], cwd=work,
        capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()
        tail = "\n".join([line for line in said if "error" in line][:10] or said[-10:])
        raise BuildMissing(
            f"the gateway could not be compiled ({SWITCH}=no goes on without that):\n{tail}"
        )
