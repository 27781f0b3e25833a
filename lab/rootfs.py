"""The root file system all nodes share: a bare Debian 12 server, made once and cached.

It is made beside its final place and renamed when complete, so a half-made one is never used. Its
key is a hash of what it is made from; a changed recipe makes a new one and leaves nodes made from
the old one alone.
"""

import os
import platform
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

from inventory.home import Home
from inventory.progress import Progress
from lab import lock, sources
from lab.command import environment, run
from lab.errors import LabBusy, LabNoSpace, RootfsFailed
from lab.mounts import MOUNTINFO, remove_tree, unmount

# A bare server with SSH; python3 because pyinfra's facts and our releases need it.
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "libpam-systemd",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "systemd",
    "systemd-sysv",
)
RECIPE = 2  # raise it when the steps below change
FREE_BYTES = 2 << 30
TIMEOUT_SECONDS = 600
# Everything mmdebstrap starts or mounts ends with this process, however this process ends.
CONTAINED = (
    *("setpriv", "--pdeathsig=KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
WAIT_FOR_OTHERS_SECONDS = 900.0
ACQUIRE_SETTINGS = (
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::Retries",
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
)
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
LOCAL_CAS = Path("/usr/local/share/ca-certificates")
# Each node gets its own, and no trace of the making.
REMOVED = (
    "etc/machine-id",
    "var/lib/dbus/machine-id",
    "etc/resolv.conf",
    "etc/hostname",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
    "var/log/alternatives.log",
)


def key(debian: tuple[sources.Source, ...]) -> str:
    """The name of the root file system made from these mirrors by this recipe."""
    parts = [str(RECIPE), platform.machine(), *PACKAGES, sources.as_text(debian)]
    return sha256("\0".join(parts).encode()).hexdigest()[:16]


def path_of(home: Home, base: str) -> Path:
    """Where the root file system with key `base` is kept."""
    return home.cache.absolute() / "rootfs" / base


def ensure(home: Home, progress: Progress) -> str:
    """The key of a complete root file system, made now when the cache has none.

    Raises RootfsFailed (with the log's path) or LabNoSpace.
    """
    debian = sources.of_this_machine()
    base = key(debian)
    final = path_of(home, base)
    if final.is_dir():
        return base
    final.parent.mkdir(parents=True, exist_ok=True)
    purpose = "makes the root file system"
    with lock.held(final.parent / "lock", purpose, wait_seconds=WAIT_FOR_OTHERS_SECONDS):
        if not final.is_dir():
            _discard_half_made(final.parent)
            _require_space(final.parent)
            progress.note("making the root file system (once; about half a minute)")
            _make(final, debian)
    return base


def discard_cache(home: Home) -> None:
    """Delete every root file system and package file; raises LabBusy while a lab runs on them."""
    folder = home.cache.absolute()
    if f"lowerdir={folder}/rootfs/" in MOUNTINFO.read_text():
        raise LabBusy(f"a running lab uses {folder}: take it down first")
    remove_tree(folder / "rootfs")
    remove_tree(folder / "apt")


def apt_settings() -> str:
    """This computer's ways of fetching packages, as apt.conf lines for a node."""
    dump = run(("apt-config", "dump"))
    lines = [line for line in dump.splitlines() if line.split(" ")[0] in ACQUIRE_SETTINGS]
    return "".join(f"{line}\n" for line in lines if not line.endswith(' "";'))


def _make(final: Path, debian: tuple[sources.Source, ...]) -> None:
    making = final.with_name(f".making-{final.name}-{os.getpid()}")
    log = final.with_name(f"{final.name}.log")
    settings = [f"--aptopt={line}" for line in apt_settings().splitlines()]
    argv = (
        *CONTAINED,
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"),
        # The package lists stay: a node's first install need not fetch them again.
        "--skip=cleanup/apt/lists",
        f"--include={','.join(PACKAGES)}",
        *settings,
        *(sources.RELEASE, str(making), "-"),
    )
    try:
        with log.open("w") as stream:
            done = subprocess.run(
                argv,
                input=sources.as_text(debian),
                text=True,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment(),
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise RootfsFailed(f"mmdebstrap did not end in {TIMEOUT_SECONDS} s; see {log}") from error
    if done.returncode != 0:
        raise RootfsFailed(explain(log))
    _generalise(making)
    run(("sync", "--file-system", str(making)), timeout_seconds=120)
    making.rename(final)


def _generalise(root: Path) -> None:
    """Remove what must differ between nodes; add what all share."""
    for name in REMOVED:
        (root / name).unlink(missing_ok=True)
    for host_key in (root / "etc/ssh").glob("ssh_host_*"):
        host_key.unlink()
    shutil.rmtree(root / "etc/apt/sources.list.d")
    (root / "etc/apt/sources.list.d").mkdir()
    (root / "etc/machine-id").touch(mode=0o444)
    (root / "var/log/journal").mkdir(exist_ok=True)
    run(("systemctl", f"--root={root}", "enable", "systemd-networkd.service", "ssh.service"))
    run(("systemctl", f"--root={root}", "disable", "systemd-networkd-wait-online.service"))
    # No terminals to log in at, no kernel of its own to configure.
    run(("systemctl", f"--root={root}", "mask", "console-getty.service", "getty.target"))


def explain(log: Path) -> str:
    """What a failed log means, its last lines, and where it is."""
    lines = log.read_text(errors="replace").splitlines()
    last = "\n".join(f"  {line}" for line in lines[-8:])
    hint = ""
    if any("Could not resolve" in line or "Could not connect" in line for line in lines):
        hint = "no package mirror answers: check the network and /etc/apt/sources.list.d\n"
    if any("No space left on device" in line for line in lines):
        hint = "the disk is full: free some space, or move FEDERATION_CACHE\n"
    return f"making the root file system failed\n{hint}{last}\nsee {log}"


def _discard_half_made(folder: Path) -> None:
    for leftover in folder.glob(".making-*"):
        unmount(leftover)
        remove_tree(leftover)


def _require_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise LabNoSpace(
            f"{folder} has {free >> 20} MiB free and the root file system needs "
            f"{FREE_BYTES >> 20}: free some space, or move FEDERATION_CACHE"
        )
