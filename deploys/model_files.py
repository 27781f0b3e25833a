"""A model's files on the operator's machine, and their hashes.

Hashing tens of gigabytes takes a minute, so hashes are remembered by each file's size and time of
change; a file that was touched is hashed again.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploys.errors import BuildMissing
from deploys.wheelhouse import file_digest, sums_text

# What engines read; a clone's history and other formats' weights stay here.
IGNORED_FOLDERS = frozenset({".git", ".cache"})


@dataclass(frozen=True)
class ModelFiles:
    """The files of the model in `folder`: relative names with `/`, SHA-256 as hex."""

    folder: Path
    sums: Mapping[str, str]

    @property
    def digest(self) -> str:
        """One hash for all names and contents."""
        return hashlib.sha256(sums_text(self.sums).encode()).hexdigest()


def model_files(folder: Path, cache: Path) -> ModelFiles:
    """The model in `folder`, hashed with the help of `cache`; raises BuildMissing."""
    folder = folder.resolve()
    if not (folder / "config.json").is_file():
        raise BuildMissing(f"{folder} has no config.json, so it is no model")
    remembered = cache / "models" / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.json"
    known = _read(remembered)
    found: dict[str, list[object]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or IGNORED_FOLDERS.intersection(Path(name).parts):
            continue
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        old = known.get(name)
        same = old is not None and old[:2] == stamp
        found[name] = old if old is not None and same else [*stamp, file_digest(path)]
    if found != known:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        temporary = remembered.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(found))
        temporary.replace(remembered)
    return ModelFiles(folder, {name: str(entry[2]) for name, entry in found.items()})


def _read(path: Path) -> dict[str, list[object]]:
    try:
        known: dict[str, list[object]] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known
