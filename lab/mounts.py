"""Overlay mounts: one shared lower folder, one upper folder a node."""

import re
import shutil
from pathlib import Path

from lab.command import run
from lab.errors import CommandFailed, LabError, StillThere

MOUNTINFO = Path("/proc/self/mountinfo")
OCTAL = re.compile(r"\\([0-7]{3})")
FORBIDDEN = set(":,\\\"' \n\t")


def parse_mountinfo(text: str) -> tuple[Path, ...]:
    """The mount points in the text of a mountinfo file, in mounting order."""
    fields = (line.split() for line in text.splitlines())
    return tuple(
        Path(OCTAL.sub(lambda match: chr(int(match[1], 8)), words[4])) for words in fields if words
    )


def mounted(point: Path) -> bool:
    """Whether something is mounted exactly there."""
    return point in parse_mountinfo(MOUNTINFO.read_text())


def mount_overlay(lower: Path, upper: Path, work: Path, point: Path) -> None:
    """Mount the overlay at `point` unless something is already mounted there."""
    if mounted(point):
        return
    for path in (lower, upper, work):
        if FORBIDDEN & set(str(path)):
            raise LabError(f"overlay mounts cannot use the path {path}: choose a plain one")
    for path in (upper, work, point):
        path.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    try:
        run(("mount", "-t", "overlay", "overlay", "-o", options, str(point)))
    except CommandFailed as error:
        raise LabError(
            f"cannot mount an overlay at {point} ({error.output}); is {upper} itself on an overlay "
            "or network file system? Put FEDERATION_HOME on a local disk"
        ) from error


def unmount(point: Path) -> None:
    """Unmount everything mounted at or below `point`, detaching what is busy."""
    for _ in range(2):
        below = [p for p in parse_mountinfo(MOUNTINFO.read_text()) if p.is_relative_to(point)]
        for place in reversed(below):
            try:
                run(("umount", str(place)))
            except CommandFailed:
                run(("umount", "--lazy", str(place)))
        if not below:
            return
    if any(p.is_relative_to(point) for p in parse_mountinfo(MOUNTINFO.read_text())):
        raise StillThere(f"{point} is still mounted: umount it by hand")


def remove_tree(folder: Path) -> None:
    """Delete `folder`; refuses while anything is mounted in it: a mount is never emptied."""
    if any(p.is_relative_to(folder) for p in parse_mountinfo(MOUNTINFO.read_text())):
        raise StillThere(f"{folder} has something mounted in it: umount that first")
    if folder.exists():
        shutil.rmtree(folder)
