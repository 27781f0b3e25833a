"""Machine metrics on every Linux node, for the monitoring node only.

Debian's exporter under our unit: its own user, mutual TLS, and a short list of collectors, since
most of the default ones say nothing about these machines.
"""

from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.exporters import WEB, masks, unit_file, web_config, web_path
from deploys.layout import STATE
from deploys.operations.files import ManagedDirectory, managed
from deploys.operations.packages import packages
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units

UNIT = "federation-node-exporter.service"
USER = "fednode"
# Files that jobs of ours leave for Prometheus; their users are in the exporter's group.
TEXTFILES = f"{STATE}/textfile"
PACKAGE = "prometheus-node-exporter"
COLLECTORS = (
    "cpu", "diskstats", "filefd", "filesystem", "loadavg", "meminfo", "netdev", "netstat",
    "pressure", "stat", "systemd", "textfile", "time", "uname", "vmstat",
)  # fmt: skip
# Not overlayfs, which the exporter leaves out by itself: a lab machine's root is one.
PSEUDO_FILESYSTEMS = (
    "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|mqueue|"
    "nsfs|proc|pstore|ramfs|securityfs|squashfs|sysfs|tmpfs|tracefs)$"
)
# What is not storage, and the exporter's own private /tmp.
PSEUDO_MOUNTS = "^/(dev|proc|run|sys|tmp|var/tmp)($|/)"


def flags(address: str, port: int) -> list[str]:
    """The exporter's command line; units other than services and timers are not reported."""
    return [
        f"--web.listen-address={address}:{port}",
        f"--web.config.file={web_path(UNIT)}",
        "--web.disable-exporter-metrics",
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in COLLECTORS),
        # From /proc: a netlink socket is one more thing the sandbox need not allow.
        "--no-collector.netdev.netlink",
        f"--collector.textfile.directory={TEXTFILES}",
        "--collector.systemd.unit-include=.+[.](service|timer)",
        # systemd would take a lone dollar sign for a variable.
        f"--collector.filesystem.fs-types-exclude={PSEUDO_FILESYSTEMS}".replace("$", "$$"),
        f"--collector.filesystem.mount-points-exclude={PSEUDO_MOUNTS}".replace("$", "$$"),
        "--log.level=warn",
    ]


@deploy("Node exporter")
def node_exporter(context: NodeContext) -> None:
    """Serve this machine's metrics to Prometheus."""
    port = context.federation.ports.node_exporter
    managed(
        name="Node exporter: configuration",
        directories=[ManagedDirectory(WEB)],
        files=[
            web_config(UNIT),
            unit_file(UNIT, [web_path(UNIT)], flags=flags(str(context.node.address), port)),
        ],
        links=masks([f"{PACKAGE}.service"]),
    )
    packages(name="Node exporter: package", names=[PACKAGE])
    system_users(
        name="Node exporter: user",
        owner="node-exporter",
        users=[SystemUser(USER, "Federation machine metrics")],
    )
    managed(
        name="Node exporter: folder for jobs",
        directories=[ManagedDirectory(TEXTFILES, mode=0o1770, group=USER)],
    )
    units(name="Node exporter: service", units=[Unit(UNIT)])
