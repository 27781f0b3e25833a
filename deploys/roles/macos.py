"""A Mac of the federation: names, SSH closed to passwords, certificate, machine metrics over TLS.

Proven by golden tests with simulated facts; nothing of it was ever run on a Mac. What differs from
Linux: no armed undo for sshd's configuration (it is checked before it is written, and sshd reads it
at each connection, so the operator's session survives), and the node's key is a file, since macOS
has no encrypted credentials.
"""

from pyinfra.api import deploy

from deploys.authority import addresses_of, names_of
from deploys.context import NodeContext
from deploys.errors import OperationFailed
from deploys.exporters import WEB
from deploys.hosts_file import hosts_file
from deploys.launchd import LaunchDaemon, plist
from deploys.layout import AUTHORITY, CERTIFICATE, CONFIG
from deploys.operations.checked import checked
from deploys.operations.files import ManagedDirectory, ManagedFile, managed
from deploys.operations.macos import brew_packages, launchd, mac_certificate, mac_machine
from deploys.roles.certificates import signer_for
from deploys.templates import render
from inventory.model import Node, Role

ACCOUNT = "_federation"
KEY = f"{CONFIG}/tls/node.key"
LOGS = "/var/log/federation"
SSHD = "/etc/ssh/sshd_config.d/000-federation.conf"
WEB_CONFIG = f"{WEB}/federation-node-exporter.yml"
PACKAGES = ("node_exporter",)
# Where Homebrew is depends on the processor: this link is the same everywhere.
PROGRAM = "/usr/local/lib/federation/node_exporter"
RENEWAL_AT = (4, 30)


@deploy("macOS")
def macos(context: NodeContext) -> None:
    """Everything a Mac gets; the operator's workstation renews certificates besides."""
    daemons = launch_daemons(context)
    mac_machine(name="macOS: names and account", hostname=context.node.name, account=ACCOUNT)
    brew_packages(name="macOS: packages", names=PACKAGES)
    managed(
        name="macOS: configuration",
        directories=[
            *(
                ManagedDirectory(path, group="wheel")
                for path in (CONFIG, f"{CONFIG}/tls", WEB, "/usr/local/lib/federation")
            ),
            ManagedDirectory(LOGS, 0o775, group=ACCOUNT),
        ],
        files=[
            ManagedFile("/etc/hosts", mac_hosts(context), group="wheel"),
            ManagedFile(WEB_CONFIG, _web_config(), group="wheel"),
            ManagedFile(PROGRAM, render("node_exporter.sh"), mode=0o755, group="wheel"),
            *(ManagedFile(daemon.path, plist(daemon), group="wheel") for daemon in daemons),
        ],
    )
    checked(
        name="macOS: SSH",
        file=ManagedFile(SSHD, sshd(context), group="wheel"),
        check=["/usr/sbin/sshd", "-t", "-f", "{}"],
    )
    mac_certificate(
        name="macOS: certificate",
        names=names_of(context.federation, context.node),
        addresses=addresses_of(context.node),
        now=context.now,
        signer=signer_for(context),
        paths={"certificate": CERTIFICATE, "authority": AUTHORITY, "key": KEY},
        group=ACCOUNT,
    )
    launchd(name="macOS: launch daemons", daemons=daemons)


def launch_daemons(context: NodeContext) -> list[LaunchDaemon]:
    """The node's jobs."""
    port = context.federation.ports.node_exporter
    domain = ".".join(reversed(context.federation.domain.split(".")))
    daemons = [
        LaunchDaemon(
            label=f"{domain}.node-exporter",
            arguments=(
                PROGRAM,
                f"--web.listen-address={context.node.address}:{port}",
                f"--web.config.file={WEB_CONFIG}",
                "--web.disable-exporter-metrics",
                "--log.level=warn",
            ),
            user=ACCOUNT,
            log=f"{LOGS}/node-exporter.log",
            loads=(WEB_CONFIG, CERTIFICATE, AUTHORITY, KEY, PROGRAM),
        )
    ]
    if context.node.has(Role.OPERATOR):
        user = login_of(context.node)
        daemons.append(
            LaunchDaemon(
                label=f"{domain}.certs-renew",
                # A login shell, so that fedctl is found where its user installed it.
                arguments=("/bin/zsh", "-lc", "exec fedctl certs renew --yes"),
                user=user,
                log=f"/Users/{user}/Library/Logs/federation-certs-renew.log",
                daily_at=RENEWAL_AT,
            )
        )
    return daemons


def login_of(node: Node) -> str:
    """Who logs in to a Mac: the administrator the inventory names; no user is made there.

    Raises OperationFailed for root, which macOS keeps disabled: sshd would let nobody in.
    """
    if node.ssh.bootstrap_user == "root":
        raise OperationFailed(
            f"nodes.{node.name}.ssh.bootstrap_user is root: it must name the Mac's administrator"
        )
    return node.ssh.bootstrap_user


def sshd(context: NodeContext) -> str:
    """sshd's drop-in: keys only, for the operator and the Mac's administrator only."""
    users = sorted({context.federation.operator_user, login_of(context.node)})
    return render("macos-sshd.conf", users=" ".join(users))


def mac_hosts(context: NodeContext) -> str:
    """The federation's /etc/hosts, with the line macOS itself needs."""
    return hosts_file(context.federation) + "255.255.255.255 broadcasthost\n"


def _web_config() -> str:
    return render("web-config.yml", certificate=CERTIFICATE, authority=AUTHORITY, key=KEY)
