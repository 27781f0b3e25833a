"""Build our own release: this project's wheel and everything it needs, ready to copy to nodes.

The same sources give the same wheel, byte for byte, and so the same version: the project's own
version, then `+` and twelve digits of the digest over all wheels. What was built once is found
again by the digest of the sources in a few milliseconds; nothing is rebuilt until one changes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploys import compiled, wheelhouse
from deploys.context import Release
from deploys.errors import BuildMissing
from inventory.home import Home
from inventory.progress import Progress, Silent

SOURCE = Path(__file__).resolve().parent.parent
LOCK = Path("requirements/node.txt")
INSTALLER_LOCK = Path("requirements/uv.txt")
EXTRA_FILES = ("pyproject.toml", "README.md", "requirements/node.in")
# Any fixed time will do; zip archives cannot say anything before 1980.
BUILD_EPOCH_SECONDS = 315532800
BUILD_TIMEOUT_SECONDS = 300
VERSION_DIGITS = 12
KEPT_BUILDS = 8


def build(home: Home, progress: Progress | None = None, source: Path = SOURCE) -> Release:
    """The release of the sources in `source`, built unless it exists; raises BuildMissing."""
    progress = progress or Silent()
    releases = home.cache / "releases"
    pointer = releases / "by-source" / source_digest(source)
    if (release := _known(releases, pointer)) is not None:
        return release
    with progress.phase("Build the release"):
        locks = [read(source / LOCK), read(source / INSTALLER_LOCK)]
        dependencies = wheelhouse.fetch(locks, home.cache / "wheelhouse")
        progress.note(f"{len(dependencies.sums)} wheels for the nodes")
        made = _libraries(source, home.cache / "compiled", progress)
        with tempfile.TemporaryDirectory(prefix="federation-build-") as work:
            wheel = build_wheel(source, Path(work), made)
            release = _assemble(releases, dependencies, wheel)
        progress.note(f"release {release.version}")
    pointer.parent.mkdir(parents=True, exist_ok=True)
    _write_atomically(pointer, release.version)
    _prune(releases, release)
    return release


def source_files(source: Path) -> Iterator[Path]:
    """Files a release depends on, relative to `source`, sorted."""
    for name in (*EXTRA_FILES, str(LOCK), str(INSTALLER_LOCK)):
        if (source / name).is_file():
            yield Path(name)
    for package in packages(source):
        for path in sorted((source / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                yield path.relative_to(source)


def packages(source: Path) -> tuple[str, ...]:
    """Our top-level packages: the folders with an `__init__.py` that pyproject.toml includes."""
    project = _project(source)
    patterns = project["tool"]["setuptools"]["packages"]["find"]["include"]
    return tuple(
        sorted(
            entry.name
            for entry in source.iterdir()
            if (entry / "__init__.py").is_file() and f"{entry.name}*" in patterns
        )
    )


def source_digest(source: Path) -> str:
    """SHA-256 over names and contents of everything a release depends on."""
    digest = hashlib.sha256(compiled.toolchain().encode())
    for path in source_files(source):
        content = (source / path).read_bytes()
        digest.update(f"{path.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def build_wheel(source: Path, work: Path, libraries: Path | None = None) -> Path:
    """Build the project's wheel from a clean copy: leftovers of older builds cannot get in.

    `libraries` are compiled modules to go with it. Raises BuildMissing.
    """
    copy, out = work / "source", work / "wheel"
    out.mkdir()
    for path in source_files(source):
        target = copy / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target)
        target.chmod(0o644)
    (copy / "README.md").touch()
    if libraries is not None:
        compiled.pack(copy, libraries)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DISTUTILS"))},
        "SOURCE_DATE_EPOCH": str(BUILD_EPOCH_SECONDS),
    }
    backend = "import sys; from setuptools import build_meta as b; b.build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", backend, str(out)], cwd=copy, env=environment,
        capture_output=True, text=True, timeout=BUILD_TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    wheels = sorted(out.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BuildMissing(f"this project's wheel could not be built from {source}:\n{tail}")
    return wheels[0]


def read(path: Path) -> str:
    """The text of a file of the sources; raises BuildMissing."""
    try:
        return path.read_text()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}; releases are built from a checkout"
        raise BuildMissing(message) from error


def _libraries(source: Path, cache: Path, progress: Progress) -> Path | None:
    """The gateway's compiled modules, where this machine can make them for the nodes."""
    hindrance = compiled.hindrance()
    if hindrance is not None:
        progress.note(f"the gateway is not compiled, and so slower: {hindrance}")
        return None
    progress.note("the gateway is compiled (a minute or two, when it has changed)")
    return compiled.libraries(source, cache)


def _assemble(releases: Path, dependencies: wheelhouse.Wheelhouse, wheel: Path) -> Release:
    sums = {**dependencies.sums, wheel.name: wheelhouse.file_digest(wheel)}
    digest = hashlib.sha256(wheelhouse.sums_text(sums).encode()).hexdigest()
    own = wheelhouse.wheel_identity(wheel.name)[1]
    folder = releases / f"{own}+{digest[:VERSION_DIGITS]}"
    with wheelhouse.beside(folder) as work:
        for name in dependencies.sums:
            (work / name).hardlink_to(dependencies.folder / name)
        shutil.copyfile(wheel, work / wheel.name)
        wheelhouse.seal(work, sums)
    return _release(folder)


def _release(folder: Path) -> Release:
    return Release(folder.name, folder, folder / wheelhouse.REQUIREMENTS)


def _known(releases: Path, pointer: Path) -> Release | None:
    try:
        folder = releases / pointer.read_text()
    except OSError:
        return None
    return _release(folder) if wheelhouse.opened(folder) is not None else None


def _prune(releases: Path, newest: Release) -> None:
    """Remove all but the last few builds; pointers to removed ones just miss."""
    folders = [f for f in releases.iterdir() if (f / wheelhouse.SUMS).exists()]
    folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[KEPT_BUILDS:]:
        if folder != newest.wheelhouse:
            shutil.rmtree(folder, ignore_errors=True)


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def _project(source: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read(source / "pyproject.toml"))
    except tomllib.TOMLDecodeError as error:
        raise BuildMissing(f"{source / 'pyproject.toml'}: {error}") from error
