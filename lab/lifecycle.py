"""The lab's verbs: up, down, boot, kill, reset, clean.

Each may be run at any time, after anything: every step looks at what is there and does what is
left. Those that change the lab hold its lock; waits are bounded; nodes boot and stop in parallel.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from inventory.home import Home
from inventory.model import Federation, Node
from inventory.progress import Progress, Silent
from lab import (
    archives,
    disk,
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

BOOT_SECONDS = 60.0
POLL_SECONDS = 0.1
FREE_BYTES = 1 << 30

Result = TypeVar("Result")


def up(federation: Federation, home: Home, progress: Progress | None = None) -> tuple[str, ...]:
    """Bring every node up, bare or as it was left; returns the names of those that were started.

    Raises LabUnavailable, NotOurs, LabBusy, RootfsFailed, LabNoSpace or BootFailed.
    """
    progress = progress or Silent()
    names_of(federation, home)
    requirements.check(federation)
    with _locked(home, "lab up", wait_seconds=0.0):
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
            for node in (node for node in federation.nodes if node not in stopped):
                if not _is_up(federation, home, node):
                    progress.note(f"{node.name} runs but does not answer SSH")
    return tuple(node.name for node in stopped)


def down(federation: Federation, home: Home, progress: Progress | None = None) -> tuple[str, ...]:
    """Stop every node and remove the network; what nodes hold is kept. Returns who was stopped."""
    progress = progress or Silent()
    names_of(federation, home)
    if not home.lab.exists():
        network.remove(federation, home)
        return ()
    with _locked(home, "lab down"):
        return _down(federation, home, progress, gently=True)


def clean(federation: Federation, home: Home, progress: Progress | None = None) -> None:
    """Stop every node and delete all they hold; the caller has asked the person first."""
    progress = progress or Silent()
    names = names_of(federation, home)
    if not home.lab.exists():
        network.remove(federation, home)
        return
    with _locked(home, "lab clean"):
        _down(federation, home, progress, gently=False)
        for node in federation.nodes:
            archives.forget(home, names.machine(node))
        identity.pin_host_keys(federation, home)
        mounts.remove_tree(home.lab)


def boot(
    federation: Federation, home: Home, nodes: Sequence[Node], progress: Progress | None = None
) -> tuple[str, ...]:
    """Start those of `nodes` that are off; returns their names. The lab's network must be up."""
    names_of(federation, home)
    with _locked(home, "lab boot"):
        _require_network(federation, home)
        off = tuple(node for node in nodes if not _healthy(home, node))
        base = rootfs.ensure(home, progress or Silent())
        _start(federation, home, off, base, progress or Silent())
    return tuple(node.name for node in off)


def kill(federation: Federation, home: Home, nodes: Sequence[Node]) -> tuple[str, ...]:
    """Cut the power of `nodes`: every process ends at once. Returns those that were running."""
    names_of(federation, home)
    with _locked(home, "lab kill"):
        alive = tuple(node for node in nodes if machine.running(home, node))
        _each(alive, lambda node: machine.power_cut(federation, home, node))
    return tuple(node.name for node in alive)


def reset(
    federation: Federation, home: Home, nodes: Sequence[Node], progress: Progress | None = None
) -> None:
    """Put `nodes` back to bare machines with new host keys (pinned), and boot them."""
    names_of(federation, home)
    with _locked(home, "lab reset"):
        _require_network(federation, home)
        base = rootfs.ensure(home, progress or Silent())
        for node in nodes:
            disk.wipe(federation, home, node)
        _start(federation, home, nodes, base, progress or Silent())


def _locked(
    home: Home, purpose: str, *, wait_seconds: float = lock.PATIENCE_SECONDS
) -> AbstractContextManager[None]:
    requirements.require_root()
    return lock.held(home.lab / lock.NAME, purpose, wait_seconds=wait_seconds)


def _require_network(federation: Federation, home: Home) -> None:
    if not network.present(federation, home):
        raise LabError(f"lab {federation.name!r} is not up: fedctl lab up")


def _start(
    federation: Federation, home: Home, nodes: Sequence[Node], base: str, progress: Progress
) -> None:
    """Make, mount and boot `nodes`, and wait until SSH greets on each."""
    for node in nodes:
        if machine.running(home, node):
            machine.power_cut(federation, home, node)
        disk.assemble(federation, home, node, base, progress)
    identity.pin_host_keys(federation, home)
    for node in nodes:
        machine.start(federation, home, node)
    failures = _await(federation, home, nodes)
    for node in nodes:
        state = system_state(federation, home, node)
        if state not in ("running", "starting", "initializing", ""):
            progress.note(f"{node.name} is {state}: fedctl lab exec {node.name} systemctl --failed")
    if failures:
        raise BootFailed(tuple(failures), "\n".join(failures.values()))


def _await(federation: Federation, home: Home, nodes: Sequence[Node]) -> dict[str, str]:
    """Wait until every node greets over SSH; node -> what to tell the person where one did not."""
    failures: dict[str, str] = {}
    waiting = list(nodes)
    deadline = time.monotonic() + BOOT_SECONDS
    while waiting:
        answers = _each(waiting, lambda node: _is_up(federation, home, node))
        waiting = [node for node, answer in zip(waiting, answers, strict=True) if not answer]
        for node in tuple(waiting):
            console = folder_of(home, node).console
            if not machine.running(home, node):
                failures[node.name] = f"{node.name} ended while booting; its console: {console}"
                waiting.remove(node)
            elif time.monotonic() > deadline:
                text = f"{node.name}: no SSH after {BOOT_SECONDS:.0f} s; its console: {console}"
                failures[node.name] = text
                waiting.remove(node)
        time.sleep(POLL_SECONDS if waiting else 0)
    return failures


def _is_up(federation: Federation, home: Home, node: Node) -> bool:
    """Whether the node is ready to be worked with, as far as its network lets anyone see."""
    leader = leader_of(folder_of(home, node).mount)
    if leader is None:
        return False
    if links.isolated(home, node):
        return system_state(federation, home, node) in ("running", "degraded")
    # While it boots, SSH greets already but turns everyone but root away (pam_nologin).
    booting = Path(f"/proc/{leader.pid}/root/run/nologin").exists()
    return not booting and answers_ssh(node)


def _healthy(home: Home, node: Node) -> bool:
    """Whether the machine runs for real: its process 1 is there, its disk mounted."""
    folder = folder_of(home, node)
    return leader_of(folder.mount) is not None and mounts.mounted(folder.mount)


def _down(
    federation: Federation, home: Home, progress: Progress, *, gently: bool
) -> tuple[str, ...]:
    alive = tuple(node for node in federation.nodes if machine.running(home, node))
    with progress.phase(f"Machines ({len(alive)})"):
        if gently:
            _each(alive, lambda node: machine.power_off(federation, home, node))
        else:
            _each(alive, lambda node: machine.power_cut(federation, home, node))
        for node in federation.nodes:
            mounts.unmount(folder_of(home, node).mount)
    with progress.phase("Network"):
        network.remove(federation, home)
        links.forget(home)
    return tuple(node.name for node in alive)


def _each(nodes: Sequence[Node], act: Callable[[Node], Result]) -> list[Result]:
    """`act` on all nodes at once; the first failure is raised after all have ended."""
    if not nodes:
        return []
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        futures = [pool.submit(act, node) for node in nodes]
    return [future.result() for future in futures]


def _require_space(home: Home) -> None:
    home.lab.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home.lab).free
    if free < FREE_BYTES:
        raise LabNoSpace(
            f"{home.lab} has {free >> 20} MiB free and the lab needs {FREE_BYTES >> 20}: "
            "free some space, or move FEDERATION_HOME"
        )
