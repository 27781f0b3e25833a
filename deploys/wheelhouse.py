"""Folders of wheels: everything a Python environment on a node is made of, fetched once, by hash.

A wheelhouse is complete or absent (made beside, then renamed) and is named by the digest of the
lock it comes from, so an unchanged lock costs one look. `SHA256SUMS` lists every wheel in the
format of sha256sum(1); its own digest identifies the whole. Fetching is pip's work: it honours
whatever indexes and folders this machine's pip is configured with, and refuses what a hash in the
lock does not name. Nodes get the wheels from here and never ask an index.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploys.errors import BuildMissing

SUMS = "SHA256SUMS"
REQUIREMENTS = "requirements.txt"
PYTHON_VERSION = "3.11"
# What Debian 12 on x86-64 takes, newest first: glibc 2.36 and everything before it.
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
    "linux_x86_64",
)
# The wheel that holds the program which makes environments on nodes; it goes into none of them.
INSTALLER = "uv"
_WHEEL = re.compile(r"^(?P<name>[^-]+)-(?P<version>[^-]+)-.+\.whl$")
_UNFOUND = re.compile(r"No matching distribution found for (?P<what>\S+)")
FETCH_TIMEOUT_SECONDS = 1800
ERROR_TAIL_LINES = 12


@dataclass(frozen=True)
class Wheelhouse:
    """A complete folder of wheels; `sums` maps file names to SHA-256 as hex."""

    folder: Path
    sums: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the list of files and hashes: the same wheels have the same digest."""
        return hashlib.sha256(sums_text(self.sums).encode()).hexdigest()

    @property
    def installer(self) -> str:
        """File name of the wheel that holds the uv program, which installs the others."""
        return next(name for name in self.sums if wheel_identity(name)[0] == INSTALLER)

    @property
    def requirements(self) -> str:
        """Lines `name==version --hash=sha256:...` for everything but the installer."""
        return requirements_text(
            {name: digest for name, digest in self.sums.items() if name != self.installer}
        )


def wheel_identity(file_name: str) -> tuple[str, str]:
    """Normalised project name and version of a wheel, from its file name (PEP 427)."""
    match = _WHEEL.match(file_name)
    if match is None:
        raise ValueError(f"{file_name!r} is not the name of a wheel")
    return match["name"].lower().replace("_", "-").replace(".", "-"), match["version"]


def requirements_text(sums: Mapping[str, str]) -> str:
    """A requirements file that admits exactly these wheels; sorted, so it is reproducible."""
    lines = []
    for file_name in sorted(sums):
        name, version = wheel_identity(file_name)
        lines.append(f"{name}=={version} --hash=sha256:{sums[file_name]}\n")
    return "".join(lines)


def sums_text(sums: Mapping[str, str]) -> str:
    """The content of SHA256SUMS, sorted by file name."""
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))


def parse_sums(text: str) -> dict[str, str]:
    """File names and hashes of a SHA256SUMS file."""
    return {
        name: digest for digest, _, name in (line.partition("  ") for line in text.splitlines())
    }


def fetch(
    locks: Sequence[str], into: Path, find_links: str = "", sources: Sequence[str] = ()
) -> Wheelhouse:
    """The wheels that `locks` (texts of hash-locked files) name, in a folder below `into`.

    `find_links` is one more folder or page to look in. `sources` are pure Python projects without
    wheels: theirs are built here, from the source archive with the locked hash. Raises BuildMissing
    when something cannot be had, with what and where to look for it.
    """
    lock = "".join(locks)
    key = hashlib.sha256("\n".join((PYTHON_VERSION, *PLATFORMS, lock)).encode()).hexdigest()
    folder = into / key[:16]
    if (found := opened(folder)) is not None:
        return found
    with beside(folder) as work:
        written = work / REQUIREMENTS
        binary, source = split(lock, sources)
        written.write_text(binary)
        _run_pip(pip_arguments(written, work, find_links))
        if source:
            written.write_text(source)
            _run_pip(build_arguments(written, work, find_links))
        written.unlink()
        seal(work, {path.name: file_digest(path) for path in sorted(work.glob("*.whl"))})
    complete = opened(folder)
    if complete is None:
        raise BuildMissing(f"{folder} did not survive being made; is something cleaning it?")
    return complete


def opened(folder: Path) -> Wheelhouse | None:
    """The wheelhouse in `folder`, or None when it is absent or lost a file since it was made."""
    try:
        sums = parse_sums((folder / SUMS).read_text())
    except OSError:
        return None
    present = {entry.name for entry in os.scandir(folder)}
    return Wheelhouse(folder, sums) if present.issuperset(sums) else None


def seal(folder: Path, sums: Mapping[str, str]) -> None:
    """Write SHA256SUMS and the requirements of a folder that holds these wheels."""
    house = Wheelhouse(folder, sums)
    (folder / REQUIREMENTS).write_text(house.requirements)
    (folder / SUMS).write_text(sums_text(sums))


def damaged(house: Wheelhouse, names: Iterable[str]) -> tuple[str, ...]:
    """Which of `names` no longer have the hash they were fetched with (reads all their bytes)."""
    return tuple(n for n in names if file_digest(house.folder / n) != house.sums[n])


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """A new folder that becomes `folder` when the block ends well, and vanishes when it does not.

    An incomplete `folder` from before is replaced; a complete one made meanwhile by another process
    is kept.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield work
        work.chmod(0o755)
        if opened(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
            work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def pip_arguments(requirements: Path, into: Path, find_links: str = "") -> list[str]:
    """The pip command that fetches a lock's wheels for the nodes, whatever this machine is."""
    return [
        sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check",
        "--no-input", "--no-deps", "--require-hashes", "--only-binary=:all:",
        "--implementation=cp", f"--python-version={PYTHON_VERSION}",
        *(f"--platform={tag}" for tag in PLATFORMS),
        *([f"--find-links={find_links}"] if find_links else []),
        f"--dest={into}", f"--requirement={requirements}",
    ]  # fmt: skip


def split(lock: str, names: Sequence[str]) -> tuple[str, str]:
    """A lock without the entries of `names`, and a lock of those entries only; pure."""
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    ours = [entry for entry in entries if entry.partition("==")[0] in names]
    return "".join(entry for entry in entries if entry not in ours), "".join(ours)


def build_arguments(requirements: Path, into: Path, find_links: str = "") -> list[str]:
    """The pip command that makes wheels of a lock's source archives, here, with our setuptools."""
    return [
        sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check",
        "--no-input", "--no-deps", "--require-hashes", "--no-binary=:all:", "--no-build-isolation",
        "--no-cache-dir", *([f"--find-links={find_links}"] if find_links else []),
        f"--wheel-dir={into}", f"--requirement={requirements}",
    ]  # fmt: skip


def pip_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for pip: uv's index settings count too where pip has none of its own."""
    # Any fixed time: the same sources give the same wheel. Zip archives begin with 1980.
    values = {**environment, "SOURCE_DATE_EPOCH": "315532800"}
    index = values.get("UV_DEFAULT_INDEX") or values.get("UV_INDEX_URL")
    if index:
        values.setdefault("PIP_INDEX_URL", index)
    return values


def _run_pip(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command,
            env=pip_environment(os.environ), capture_output=True, text=True,
            timeout=FETCH_TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        message = f"the wheels did not arrive within {FETCH_TIMEOUT_SECONDS} s"
        raise BuildMissing(message) from error
    if done.returncode == 0:
        return
    said = "\n".join(done.stderr.strip().splitlines()[-ERROR_TAIL_LINES:])
    if unfound := _UNFOUND.search(done.stderr):
        raise NotOffered(unfound["what"], said)
    raise BuildMissing(f"pip could not fetch the wheels for the nodes:\n{said}")


class NotOffered(BuildMissing):
    """No index or folder that pip is configured with has a wheel the lock names."""

    def __init__(self, what: str, said: str) -> None:
        self.what = what
        super().__init__(
            f"{what} is on no index and in no folder that pip on this machine is configured "
            f"with (see `pip config list`):\n{said}"
        )
