"""What every Linux node is before it has a role: names, time, logs, SSH, kernel, upgrades, folders.

The operator's user is there already (enrolment makes it, since nothing else can be done before);
here its SSH is closed to everybody and everything else. Files come before packages, so that a
daemon's first start already has its configuration.
"""

from ipaddress import AddressValueError, IPv4Address

from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.hosts_file import hosts_file
from deploys.layout import CONFIG, STATE, unit_path
from deploys.operations.files import ManagedDirectory, ManagedFile, managed
from deploys.operations.guard import guarded
from deploys.operations.machine import machine
from deploys.operations.packages import packages
from deploys.operations.units import Unit, units
from deploys.templates import render

LIBRARY = "/usr/local/lib/federation"
RECORDS = "/run/federation/loaded"
SSHD = "/etc/ssh/sshd_config.d/00-federation.conf"
SSH_DROP_IN = "/etc/systemd/system/ssh.service.d"
CHRONY = "/etc/chrony/chrony.conf"
CHRONY_DROP_IN = "/etc/systemd/system/chrony.service.d"
JOURNALD = "/etc/systemd/journald.conf.d/federation.conf"
TARGET = "federation.target"
# openssl is for certificates and nftables for the firewall: one apt run beats three.
PACKAGES = ("chrony", "nftables", "openssl", "sudo", "unattended-upgrades")
DIRECTORIES = (
    ManagedDirectory(CONFIG),
    ManagedDirectory(f"{CONFIG}/tls"),
    ManagedDirectory(f"{CONFIG}/credentials", mode=0o700),
    ManagedDirectory(STATE),
    ManagedDirectory("/opt/federation"),
    ManagedDirectory("/run/federation"),
    ManagedDirectory(RECORDS),
    ManagedDirectory(LIBRARY),
    ManagedDirectory("/etc/chrony"),
    ManagedDirectory(CHRONY_DROP_IN),
    ManagedDirectory(SSH_DROP_IN),
    ManagedDirectory("/etc/systemd/journald.conf.d"),
)
SYSCTL = {
    "fs.protected_fifos": "2",
    "fs.protected_hardlinks": "1",
    "fs.protected_regular": "2",
    "fs.protected_symlinks": "1",
    "fs.suid_dumpable": "0",
    "kernel.dmesg_restrict": "1",
    "kernel.kptr_restrict": "2",
    "kernel.panic": "10",
    "kernel.randomize_va_space": "2",
    "kernel.sysrq": "0",
    "kernel.yama.ptrace_scope": "1",
    "net.core.somaxconn": "4096",
    "net.ipv4.conf.all.accept_redirects": "0",
    "net.ipv4.conf.all.accept_source_route": "0",
    "net.ipv4.conf.all.rp_filter": "1",
    "net.ipv4.conf.all.secure_redirects": "0",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.accept_redirects": "0",
    "net.ipv4.conf.default.accept_source_route": "0",
    "net.ipv4.conf.default.rp_filter": "1",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.icmp_echo_ignore_broadcasts": "1",
    "net.ipv4.tcp_rfc1337": "1",
    "net.ipv4.tcp_syncookies": "1",
    "net.ipv6.conf.all.accept_ra": "0",
    "net.ipv6.conf.all.accept_redirects": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.default.accept_redirects": "0",
}


@deploy("Base")
def base(context: NodeContext) -> None:
    """A hardened Debian that knows the others by name and has our folders."""
    managed(name="Base: configuration", directories=DIRECTORIES, files=configuration(context))
    packages(name="Base: packages", names=PACKAGES)
    machine(
        name="Base: running machine",
        hostname=context.node.name,
        sysctl=SYSCTL,
        locked=["root"],
        read={"systemd-journald.service": [JOURNALD]},
    )
    guarded(
        name="Base: SSH",
        guard="ssh",
        files=[ManagedFile(SSHD, sshd(context))],
        check="sshd -t",
        # Early in a boot sshd is not there yet and will read the file by itself.
        apply="systemctl try-reload-or-restart ssh.service",
    )
    units(
        name="Base: services",
        units=[
            Unit("ssh.service", reload=True),
            # A machine that shares another's clock cannot set it: chrony's own condition skips it.
            Unit("chrony.service", running=context.federation.kind != "lab"),
            Unit("apt-daily.timer"),
            Unit("apt-daily-upgrade.timer"),
            Unit(TARGET),
        ],
    )


def configuration(context: NodeContext) -> list[ManagedFile]:
    """Every file but sshd's own, which is guarded."""
    node = context.node
    return [
        ManagedFile("/etc/hostname", f"{node.name}\n"),
        ManagedFile("/etc/hosts", hosts_file(context.federation)),
        ManagedFile(
            "/etc/sysctl.d/60-federation.conf",
            render("sysctl.conf", settings=sorted(SYSCTL.items())),
        ),
        ManagedFile(CHRONY, chrony(context.federation.network.ntp_servers)),
        ManagedFile(JOURNALD, render("journald.conf", max_mib=node.limits.journal_max_mib)),
        ManagedFile("/etc/apt/apt.conf.d/52federation", render("apt-upgrades.conf")),
        ManagedFile("/etc/tmpfiles.d/federation.conf", render("tmpfiles.conf")),
        ManagedFile(f"{LIBRARY}/loaded", render("loaded", folder=RECORDS), mode=0o755),
        ManagedFile(
            f"{SSH_DROP_IN}/federation.conf",
            render("ssh.service.d.conf", loaded=f"/etc/ssh/sshd_config {SSHD}"),
        ),
        ManagedFile(
            f"{CHRONY_DROP_IN}/federation.conf", render("chrony.service.d.conf", loaded=CHRONY)
        ),
        ManagedFile(unit_path(TARGET), render(TARGET)),
    ]


def sshd(context: NodeContext) -> str:
    """sshd's drop-in. The host key offered is of the kind the operator has pinned."""
    pinned = context.node.ssh.host_key or "ssh-ed25519"
    algorithm = pinned.split()[0]
    return render(
        "sshd.conf",
        user=context.federation.operator_user,
        host_key="ed25519" if algorithm == "ssh-ed25519" else "ecdsa",
        host_key_algorithm=algorithm,
    )


def chrony(ntp_servers: tuple[str, ...]) -> str:
    """chrony.conf; an address is one server, a name may stand for several."""
    servers = [name for name in ntp_servers if _is_address(name)]
    pools = [name for name in ntp_servers if name not in servers]
    return render("chrony.conf", pools=pools, servers=servers)


def _is_address(name: str) -> bool:
    try:
        IPv4Address(name)
    except AddressValueError:
        return False
    return True
