"""Our packages as nodes have them: the wheel of the release, the gateway compiled, unpacked here.

`python -m tests.support.installed` makes it (a minute or two when sources have changed), so that no
test has to wait for a compiler. The release is the one that `fedctl up` of the tests' fleet finds.
"""

import fcntl
import functools
import os
import shutil
import sys
import zipfile
from pathlib import Path

from deploys import release, wheelhouse
from inventory.home import home_of
from tests.support.fleet import NAME

KEPT = 6


@functools.cache
def installed() -> Path:
    """The folder to run our programs in; made unless it is there."""
    home = home_of(NAME)
    home.cache.mkdir(parents=True, exist_ok=True)
    with (home.cache / "installed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = release.build(home)
        folder = home.cache / "installed" / built.version
        if not folder.is_dir():
            (wheel,) = built.wheelhouse.glob("federation_operator-*.whl")
            with wheelhouse.beside(folder) as work, zipfile.ZipFile(wheel) as archive:
                archive.extractall(work)
            _prune(folder.parent)
    return folder


def _prune(places: Path) -> None:
    newest = sorted(places.iterdir(), key=lambda place: place.stat().st_mtime, reverse=True)
    for place in newest[KEPT:]:
        shutil.rmtree(place, ignore_errors=True)


def environment_of_tests() -> dict[str, str]:
    """Where what is not in a release (tests' own modules) is found by a program that runs there."""
    checkout = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": str(checkout)}


if __name__ == "__main__":
    print(installed(), file=sys.stderr)  # noqa: T201
