"""A node's disk: an overlay over the shared root file system, made, mounted and wiped.

A node counts as made when its birth certificate (the key of the base it was made from) is written,
which is the last step: anything less is thrown away and made again.
"""

from inventory.home import Home
from inventory.model import Federation, Node
from inventory.progress import Progress
from lab import archives, contents, machine, mounts, rootfs
from lab.names import folder_of, names_of


def assemble(federation: Federation, home: Home, node: Node, base: str, progress: Progress) -> None:
    """Mount the node's root file system, made from `base` when it has none."""
    names, folder = names_of(federation, home), folder_of(home, node)
    mounts.unmount(folder.mount)
    made_from = folder.base.read_text().strip() if folder.base.exists() else ""
    if made_from and not rootfs.path_of(home, made_from).is_dir():
        progress.note(f"{node.name} is made anew: the root file system it was made from is gone")
        made_from = ""
    if not made_from:
        # Without a birth certificate whatever is there is a half-made node.
        for leftover in (folder.upper, folder.work):
            mounts.remove_tree(leftover)
    lower = rootfs.path_of(home, made_from or base)
    mounts.mount_overlay(lower, folder.upper, folder.work, folder.mount)
    archives.prepare(home, names.machine(node))
    if not made_from:
        contents.write(federation, home, names, node)
        folder.base.write_text(f"{base}\n")


def wipe(federation: Federation, home: Home, node: Node) -> None:
    """Delete the node's disk and host key, cutting its power first."""
    folder = folder_of(home, node)
    if machine.running(home, node):
        machine.power_cut(federation, home, node)
    mounts.unmount(folder.mount)
    folder.base.unlink(missing_ok=True)
    folder.host_key.unlink(missing_ok=True)
    for leftover in (folder.upper, folder.work):
        mounts.remove_tree(leftover)
    archives.forget(home, names_of(federation, home).machine(node))
