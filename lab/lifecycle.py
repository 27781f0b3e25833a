"""The lab's verbs: up, down, boot, kill, reset, clean.

Each may be run at any time, after anything: every step looks at what is there and does what is
left. Those that change the lab hold its lock; waits are bounded; nodes boot and stop in parallel.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from inventory.home import Home
from inventory.model import Federation, Node
from inventory.progress import Progress, Silent
from lab import (
    archives,
    contents,
    identity,
    links,
    lock,
    machine,
    mounts,
    network,
    requirements,
    rootfs,
)
from lab.errors import BootFailed, LabError, LabNoSpace
from lab.names import folder_of, names_of
from lab.process import leader_of
from lab.status import answers_ssh, system_state

SSH_WAIT_SECONDS = 60.0
POLL_SECONDS = 0.1
FREE_BYTES = 1 << 30


def up(federation: Federation, home: Home, progress: Progress | None = None) -> tuple[str, ...]:
    """Bring every node up, bare or as it was left; returns the names of those that were started.

    Raises LabUnavailable, NotOurs, LabBusy, RootfsFailed, LabNoSpace or BootFailed.
    """
    progress = progress or Silent()
    names_of(federation, home)
    requirements.check(federation)
    with lock.held(home.lab / "lock", "lab up"):
        _require_space(home)
        with progress.phase("Root file system"):
            base = rootfs.ensure(home, progress)
        with progress.phase("Network"):
            identity.ensure_operator_key(federation, home)
            network.ensure(federation, home)
            links.restore(federation, home)
        stopped = tuple(node for node in federation.nodes if not _healthy(home, node))
        with progress.phase(f"Machines ({len(federation.nodes)})"):
            _start(federation, home, stopped, base, progress)
    return tuple(node.name for node in stopped)


def down(federation: Federation, home: Home, progress: Progress | None = None) -> tuple[str, ...]:
    """Stop every node and remove the network; what nodes hold is kept. Returns who was stopped."""
    progress = progress or Silent()
    names_of(federation, home)
    if not home.lab.exists():
        network.remove(federation, home)
        return ()
    with lock.held(home.lab / "lock", "lab down"):
        return _down(federation, home, progress, gently=True)


def clean(federation: Federation, home: Home, progress: Progress | None = None) -> None:
    """Stop every node and delete all they hold; the caller has asked the person first."""
    progress = progress or Silent()
    names = names_of(federation, home)
    if not home.lab.exists():
        network.remove(federation, home)
        return
    with lock.held(home.lab / "lock", "lab clean"):
        _down(federation, home, progress, gently=False)
        for node in federation.nodes:
            archives.forget(home, names.machine(node))
        identity.pin_host_keys(federation, home)
        mounts.remove_tree(home.lab)


def boot(
    federation: Federation, home: Home, nodes: Sequence[Node], progress: Progress | None = None
) -> tuple[str, ...]:
    """Start those of `nodes` that are off; returns their names. The lab's network must be up."""
    with lock.held(home.lab / "lock", "lab boot"):
        off = tuple(node for node in nodes if not _healthy(home, node))
        _start_in_network(federation, home, off, progress or Silent())
    return tuple(node.name for node in off)


def kill(federation: Federation, home: Home, nodes: Sequence[Node]) -> tuple[str, ...]:
    """Cut the power of `nodes`: every process ends at once. Returns those that were running."""
    names_of(federation, home)
    with lock.held(home.lab / "lock", "lab kill"):
        alive = tuple(node for node in nodes if machine.running(home, node))
        _each(alive, lambda node: machine.power_cut(federation, home, node))
    return tuple(node.name for node in alive)


def reset(
    federation: Federation, home: Home, nodes: Sequence[Node], progress: Progress | None = None
) -> None:
    """Put `nodes` back to bare machines with new host keys (pinned), and boot them."""
    with lock.held(home.lab / "lock", "lab reset"):
        for node in nodes:
            _wipe(federation, home, node)
        _start_in_network(federation, home, nodes, progress or Silent())


def _start_in_network(
    federation: Federation, home: Home, nodes: Sequence[Node], progress: Progress
) -> None:
    if nodes and not network.present(federation, home):
        raise LabError(f"the lab {federation.name} is down: fedctl lab up")
    _start(federation, home, nodes, rootfs.ensure(home, progress), progress)


def _start(
    federation: Federation, home: Home, nodes: Sequence[Node], base: str, progress: Progress
) -> None:
    """Make, mount and boot `nodes`, and wait until SSH greets on each."""
    for node in nodes:
        if machine.running(home, node):
            machine.power_cut(federation, home, node)
        _assemble(federation, home, node, base, progress)
    identity.pin_host_keys(federation, home)
    for node in nodes:
        machine.start(federation, home, node)
    failures = [text for text in _each(nodes, lambda node: _await(home, node)) if text]
    for node in nodes:
        state = system_state(federation, home, node)
        if state not in ("running", "starting", "initializing", ""):
            progress.note(f"{node.name} is {state}: fedctl lab exec {node.name} systemctl --failed")
    if failures:
        failed = [node.name for node in nodes if any(node.name in text for text in failures)]
        raise BootFailed(failed, "\n".join(failures))


def _assemble(
    federation: Federation, home: Home, node: Node, base: str, progress: Progress
) -> None:
    """Mount the node's root file system, made from `base` when it has none."""
    names, folder = names_of(federation, home), folder_of(home, node)
    mounts.unmount(folder.mount)
    made_from = folder.base.read_text().strip() if folder.base.exists() else ""
    if made_from and not rootfs.path_of(home, made_from).is_dir():
        progress.note(f"{node.name} is made anew: the root file system it was made from is gone")
        made_from = ""
    if not made_from:
        # Without its birth certificate whatever is there is a half-made node.
        for leftover in (folder.upper, folder.work):
            mounts.remove_tree(leftover)
    lower = rootfs.path_of(home, made_from or base)
    mounts.mount_overlay(lower, folder.upper, folder.work, folder.mount)
    archives.prepare(home, names.machine(node))
    if not made_from:
        contents.write(federation, home, names, node)
        folder.base.write_text(f"{base}\n")


def _await(home: Home, node: Node) -> str:
    """Wait until the node greets; "" or what to tell the person."""
    folder = folder_of(home, node)
    deadline = time.monotonic() + SSH_WAIT_SECONDS
    while time.monotonic() < deadline:
        if answers_ssh(node):
            return ""
        if not machine.running(home, node):
            return f"{node.name} ended while booting; its console: {folder.console}"
        time.sleep(POLL_SECONDS)
    if any(node.name in names and len(names) == 1 for names in links.cuts(home)):
        return ""  # nobody can reach a node that is cut off, and that was asked for
    return f"{node.name}: no SSH after {SSH_WAIT_SECONDS:.0f} s; its console: {folder.console}"


def _healthy(home: Home, node: Node) -> bool:
    """Whether the machine runs for real: its process 1 is there, its disk mounted."""
    folder = folder_of(home, node)
    return leader_of(folder.mount) is not None and mounts.mounted(folder.mount)


def _down(
    federation: Federation, home: Home, progress: Progress, *, gently: bool
) -> tuple[str, ...]:
    alive = tuple(node for node in federation.nodes if machine.running(home, node))
    stop: Callable[..., object] = machine.power_off if gently else machine.power_cut
    with progress.phase(f"Machines ({len(alive)})"):
        _each(alive, lambda node: stop(federation, home, node))
        for node in federation.nodes:
            mounts.unmount(folder_of(home, node).mount)
    with progress.phase("Network"):
        network.remove(federation, home)
        links.forget(home)
    return tuple(node.name for node in alive)


def _wipe(federation: Federation, home: Home, node: Node) -> None:
    folder = folder_of(home, node)
    if machine.running(home, node):
        machine.power_cut(federation, home, node)
    mounts.unmount(folder.mount)
    folder.base.unlink(missing_ok=True)
    folder.host_key.unlink(missing_ok=True)
    for leftover in (folder.upper, folder.work):
        mounts.remove_tree(leftover)
    archives.forget(home, names_of(federation, home).machine(node))


def _each(nodes: Sequence[Node], act: Callable[[Node], object]) -> list[str]:
    """`act` on all nodes at once; the first failure is raised after all have ended."""
    if not nodes:
        return []
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        futures = [pool.submit(act, node) for node in nodes]
    return [str(future.result() or "") for future in futures]


def _require_space(home: Home) -> None:
    home.lab.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home.lab).free
    if free < FREE_BYTES:
        raise LabNoSpace(
            f"{home.lab} has {free >> 20} MiB free and the lab needs {FREE_BYTES >> 20}: "
            "free some space, or move FEDERATION_HOME"
        )
