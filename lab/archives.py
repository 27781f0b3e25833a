"""Package files that nodes share, so that six machines fetch each package once.

Every node keeps its own archives folder (apt's lock and its `partial/` are never shared, so six
apt processes cannot meet), but all of them and a common store live on one file system: before a
node unpacks anything it hard-links what it fetched into the store and into its siblings' folders,
where their apt finds it. apt checks sizes and hashes itself; a link that exists is left alone.
"""

import os
from pathlib import Path

from inventory.home import Home
from lab.mounts import remove_tree

INSIDE = "/var/cache/lab-apt"
SHARE_SCRIPT = "usr/local/lib/lab/share-packages"
APT_USER_ID = 42  # Debian reserves it for _apt, who does the fetching


def folder(home: Home) -> Path:
    """The folder that is bound into every node at INSIDE."""
    return home.cache.absolute() / "apt"


def apt_settings(machine: str) -> str:
    """apt.conf lines that put a node's archives where they are shared from."""
    return (
        f'Dir::Cache::archives "{INSIDE}/nodes/{machine}";\n'
        f'DPkg::Pre-Invoke {{ "/{SHARE_SCRIPT} {machine}"; }};\n'
    )


def share_script() -> str:
    """The script a node runs before unpacking; it must never make apt fail."""
    return f"""#!/bin/sh
# Let the other machines of this computer's labs use the packages this one has fetched.
cd {INSIDE}/nodes/"$1" 2>/dev/null || exit 0
set -- *.deb
[ -e "$1" ] || exit 0
for folder in {INSIDE}/archives {INSIDE}/nodes/*/; do
    ln -t "$folder" "$@" 2>/dev/null
done
exit 0
"""


def prepare(home: Home, machine: str) -> None:
    """Make a node's archives folder and fill it with what the store has."""
    store, own = folder(home) / "archives", folder(home) / "nodes" / machine
    for path in (store, own, own / "partial"):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)
    (own / "partial").chmod(0o700)
    os.chown(own / "partial", APT_USER_ID, 0)
    for package in store.glob("*.deb"):
        if not (own / package.name).exists():
            os.link(package, own / package.name)


def forget(home: Home, machine: str) -> None:
    """Remove a node's archives folder; the store keeps the packages."""
    remove_tree(folder(home) / "nodes" / machine)
