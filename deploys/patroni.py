"""Fetch Patroni for the data nodes: a wheelhouse of its own, locked by hash.

Not in the release: installing a new release of ours restarts our services, and the database is not
one that should restart for it.
"""

from deploys import wheelhouse
from deploys.context import Patroni
from deploys.engine import locked_version
from deploys.release import INSTALLER_LOCK, SOURCE, VERSION_DIGITS, read
from inventory.home import Home
from inventory.progress import Progress, Silent

# Patroni needs them (for etcd, for patronictl); PyPI has no wheel of these versions.
SOURCES_ONLY = ("python-etcd", "ydiff")
LOCK = SOURCE / "requirements" / "patroni.txt"


def build(home: Home, progress: Progress | None = None) -> Patroni:
    """Patroni as locked; raises BuildMissing when a wheel is not to be had."""
    progress = progress or Silent()
    lock = read(LOCK)
    version = locked_version(lock, "patroni")
    with progress.phase(f"Fetch Patroni {version}"):
        locks = [lock, read(SOURCE / INSTALLER_LOCK)]
        house = wheelhouse.fetch(locks, home.cache / "wheelhouse", sources=SOURCES_ONLY)
        progress.note(f"{len(house.sums)} wheels for the data nodes")
    return Patroni(f"{version}+{house.digest[:VERSION_DIGITS]}", house.folder)
