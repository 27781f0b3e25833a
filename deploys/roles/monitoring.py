"""Prometheus and Alertmanager: every metric of the federation over mutual TLS, rules, alerts.

What is scraped comes from the roles in the model; a node added to the inventory is watched after
the next apply. Debian's programs under our units, as for the exporters.
"""

from dataclasses import dataclass

from pyinfra.api import deploy

from deploys.context import NodeContext
from deploys.exporters import WEB, masks, unit_file, web_config, web_path
from deploys.layout import AUTHORITY, CERTIFICATE, CONFIG, credential
from deploys.operations.files import ManagedDirectory, ManagedFile, managed
from deploys.operations.packages import packages
from deploys.operations.system_users import SystemUser, system_users
from deploys.operations.units import Unit, units
from deploys.templates import HERE, render
from inventory.model import Federation, Node, Platform, Role

PROMETHEUS = "federation-prometheus.service"
ALERTMANAGER = "federation-alertmanager.service"
FOLDER = f"{CONFIG}/prometheus"
PROMETHEUS_CONFIG = f"{FOLDER}/prometheus.yml"
ALERTMANAGER_CONFIG = f"{CONFIG}/alertmanager/alertmanager.yml"
# Read as they are: their {{ }} are Prometheus's.
RULES = ("alerts.yml", "recording.yml")
SCRAPE_SECONDS = 15
SCRAPE_TIMEOUT_SECONDS = 10
RETENTION_DAYS = 30
RETENTION_MIB = 8192


@dataclass(frozen=True)
class Job:
    """One kind of target: the same port on several nodes."""

    name: str
    purpose: str
    port: int
    targets: tuple[Node, ...]


def jobs(federation: Federation) -> tuple[Job, ...]:
    """What Prometheus scrapes; kinds without a node are left out. Pure."""
    ports, monitoring = federation.ports, federation.with_role(Role.MONITORING)
    linux = federation.on(Platform.DEBIAN)
    every = (
        Job("node", "Machines", ports.node_exporter, federation.nodes),
        Job("federation", "Units, certificates, releases", ports.federation_exporter, linux),
        Job("gateway", "Gateways", ports.gateway_metrics, federation.with_role(Role.GATEWAY)),
        Job("engine", "vLLM", ports.vllm, federation.with_role(Role.INFERENCE)),
        Job("postgres", "PostgreSQL", ports.postgres_exporter, federation.with_role(Role.DATA)),
        Job("sequencer", "Sequencers", ports.sequencer, federation.with_role(Role.DATA)),
        Job("witness", "Witnesses of the ledger", ports.witness, linux),
        Job("guardian", "The guardian of custody", ports.guardian, federation.guardians),
        Job("patroni", "Who leads the database", ports.patroni, federation.with_role(Role.DATA)),
        Job("etcd", "What decides who leads", ports.etcd_metrics, federation.with_role(Role.DATA)),
        Job("prometheus", "Prometheus itself", ports.prometheus, monitoring),
        Job("alertmanager", "Alertmanager", ports.alertmanager, monitoring),
    )
    return tuple(job for job in every if job.targets)


@deploy("Monitoring")
def monitoring(context: NodeContext) -> None:
    """Collect, evaluate, alert."""
    managed(
        name="Monitoring: configuration",
        directories=[
            ManagedDirectory(path)
            for path in (FOLDER, f"{FOLDER}/rules", f"{CONFIG}/alertmanager", WEB)
        ],
        files=[
            *configuration(context),
            web_config(PROMETHEUS),
            web_config(ALERTMANAGER),
            *_unit_files(context),
        ],
        links=masks(["prometheus.service", "prometheus-alertmanager.service"]),
    )
    packages(name="Monitoring: packages", names=["prometheus", "prometheus-alertmanager"])
    system_users(
        name="Monitoring: users",
        owner="monitoring",
        users=[
            SystemUser("fedprometheus", "Federation metrics"),
            SystemUser("fedalerts", "Federation alerts"),
        ],
    )
    units(name="Monitoring: services", units=[Unit(ALERTMANAGER), Unit(PROMETHEUS)])


def configuration(context: NodeContext, folder: str = FOLDER) -> list[ManagedFile]:
    """Prometheus's and Alertmanager's files; tests give them to promtool and amtool."""
    federation, node = context.federation, context.node
    tls = {
        "ca_file": AUTHORITY,
        "cert_file": CERTIFICATE,
        "key_file": credential(PROMETHEUS, "tls.key"),
        "min_version": "TLS13",
    }
    prometheus = render(
        "prometheus.yml",
        federation=federation.name,
        scrape_seconds=SCRAPE_SECONDS,
        scrape_timeout_seconds=SCRAPE_TIMEOUT_SECONDS,
        rules=f"{folder}/rules/*.yml",
        alertmanager=f"{node.address}:{federation.ports.alertmanager}",
        jobs=jobs(federation),
        tls="{" + ", ".join(f"{name}: {value}" for name, value in tls.items()) + "}",
    )
    rules = [
        ManagedFile(f"{folder}/rules/{name}", (HERE / "templates" / name).read_text())
        for name in RULES
    ]
    return [
        ManagedFile(PROMETHEUS_CONFIG, prometheus),
        *rules,
        ManagedFile(ALERTMANAGER_CONFIG, render("alertmanager.yml")),
    ]


def _unit_files(context: NodeContext) -> list[ManagedFile]:
    node, ports = context.node, context.federation.ports
    paths = [file.path for file in configuration(context)]
    common = {"address": node.address, "fqdn": context.federation.fqdn(node)}
    return [
        unit_file(
            PROMETHEUS,
            [web_path(PROMETHEUS), *(path for path in paths if path.startswith(FOLDER))],
            **common,
            port=ports.prometheus,
            config=PROMETHEUS_CONFIG,
            web=web_path(PROMETHEUS),
            retention_days=RETENTION_DAYS,
            retention_mib=RETENTION_MIB,
            memory_max_mib=node.limits.service_memory_max_mib,
        ),
        unit_file(
            ALERTMANAGER,
            [web_path(ALERTMANAGER), ALERTMANAGER_CONFIG],
            **common,
            port=ports.alertmanager,
            config=ALERTMANAGER_CONFIG,
            web=web_path(ALERTMANAGER),
        ),
    ]
