"""What a computer needs to run a lab, and how to get it.

`missing_requirements` finds everything that is missing at once, `install_requirements` installs
what packages can solve. The list of packages is data: nothing else names them.
"""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from inventory.model import Federation
from inventory.progress import Progress
from lab import sources
from lab.command import SYSTEM_PATH, environment, succeeds
from lab.errors import CommandFailed, LabUnavailable

# What each command is for is said by the module that runs it.
PACKAGE_OF_COMMAND = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "rsync": "rsync",
    "journalctl": "systemd",
}
KEYRING_PACKAGE = "debian-archive-keyring"
ARCHITECTURES = ("x86_64", "aarch64")
APT_TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Missing:
    """One thing this computer lacks; `package` would provide it, when a package can."""

    what: str
    remedy: str
    package: str = ""


def missing_requirements(federation: Federation | None = None) -> tuple[Missing, ...]:
    """Everything this computer lacks to run a lab; empty when it can."""
    found: list[Missing] = []
    if platform.system() != "Linux":
        found.append(Missing(f"Linux (this is {platform.system()})", "use a Debian 12 machine"))
        return tuple(found)
    if platform.machine() not in ARCHITECTURES:
        found.append(
            Missing(
                f"a supported processor (this is {platform.machine()})",
                f"use one of {', '.join(ARCHITECTURES)}",
            )
        )
    privileges = _privileges()
    # Without root the kernel cannot be asked.
    kernel = [] if privileges else _kernel()
    return (*found, *_packages(), *privileges, *kernel, *_configuration(federation))


def check(federation: Federation | None = None) -> None:
    """Raises LabUnavailable, listing every missing thing with its remedy."""
    found = missing_requirements(federation)
    if not found:
        return
    packages = sorted({missing.package for missing in found if missing.package})
    steps = [missing.remedy for missing in found if not missing.package]
    if packages:
        steps.insert(0, f"apt-get install {' '.join(packages)}")
    raise LabUnavailable([missing.what for missing in found], "; ".join(dict.fromkeys(steps)))


def require_root() -> None:
    """Raises LabUnavailable unless this process may change the lab."""
    if os.geteuid() != 0:
        missing = _privileges()[0]
        raise LabUnavailable([missing.what], missing.remedy)


def install_requirements(progress: Progress) -> tuple[str, ...]:
    """Install the missing packages with apt-get; returns their names, empty when none was missing.

    Needs root; raises LabUnavailable without it and CommandFailed when apt-get fails. A failing
    `apt-get update` is tolerated: sources of other vendors are not ours to repair.
    """
    packages = sorted({missing.package for missing in _packages()})
    if not packages:
        return ()
    if os.geteuid() != 0 or shutil.which("apt-get", path=SYSTEM_PATH) is None:
        check()
    progress.note(f"installing {' '.join(packages)}")
    _apt_get("update", tolerate=True)
    _apt_get("install", "--yes", "--no-install-recommends", *packages)
    return tuple(packages)


def _apt_get(*arguments: str, tolerate: bool = False) -> None:
    argv = ("apt-get", "-o", "DPkg::Lock::Timeout=120", "-q", *arguments)
    try:
        done = subprocess.run(
            argv,
            env={**environment(), "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=APT_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(argv, 124, f"no end after {APT_TIMEOUT_SECONDS} s") from error
    if done.returncode != 0 and not tolerate:
        raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)


def _packages() -> list[Missing]:
    found = [
        Missing(f"the command {command}", f"apt-get install {package}", package)
        for command, package in PACKAGE_OF_COMMAND.items()
        if shutil.which(command, path=environment()["PATH"]) is None
    ]
    if not Path(sources.KEYRING).exists():
        remedy = f"apt-get install {KEYRING_PACKAGE}"
        found.append(Missing("Debian's archive keys", remedy, KEYRING_PACKAGE))
    return found


def _privileges() -> list[Missing]:
    if os.geteuid() != 0:
        return [Missing("root (machines, bridges and mounts need it)", "run the command as root")]
    unshare = ("unshare", "--mount", "--net", "true")
    if shutil.which("unshare", path=environment()["PATH"]) and not succeeds(unshare):
        remedy = "use a virtual or real machine, or a container with full privileges"
        return [Missing("the right to make namespaces (root here is confined)", remedy)]
    return []


def _kernel() -> list[Missing]:
    found = []
    filesystems = Path("/proc/filesystems").read_text().split()
    if "overlay" not in filesystems and not succeeds(("modprobe", "overlay")):
        found.append(Missing("overlayfs in the kernel", "use a kernel that has it"))
    if shutil.which("nft", path=environment()["PATH"]) and not succeeds(("nft", "list", "tables")):
        found.append(Missing("nftables in the kernel", "use a kernel that has nf_tables"))
    if not any(Path("/sys/fs/cgroup").iterdir()):
        found.append(Missing("control groups at /sys/fs/cgroup", "mount them"))
    return found


def _configuration(federation: Federation | None) -> list[Missing]:
    found = []
    if not sources.offers_release(sources.of_this_machine()):
        what = f"a package mirror with Debian's {sources.RELEASE} in /etc/apt"
        found.append(Missing(what, "use a Debian 12 machine"))
    if federation is not None:
        servers = federation.network.dns_servers
        if not servers or any(server.is_loopback for server in servers):
            shown = ", ".join(map(str, servers)) or "none"
            what = f"a name server that nodes can reach (now: {shown})"
            found.append(Missing(what, "set network.dns_servers in the inventory"))
    return found
