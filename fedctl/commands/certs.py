"""`certs show|renew|timer`: the nodes' certificates."""

import getpass
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from deploys.authority import addresses_of, names_of, open_authority
from deploys.layout import CERTIFICATE
from deploys.renewal_timer import Job, launchd_files, systemd_files
from fedctl import remote
from fedctl.app import App, FedGroup, pass_app
from fedctl.commands.deploying import carry_out
from fedctl.deploying import in_words
from fedctl.remote import Link, Links
from fedctl.render import BAD, DOUBTFUL, GOOD, age
from fedctl.selecting import Selector, no_lock_option, on_option
from fedctl.work import working
from inventory.model import Node
from trust import certificate
from trust.certificate import CertificateFacts, Renewal
from trust.errors import CertificateUnreadable

# Where certificates are renewed, and where data nodes take turns in restarting for them.
STAGES = ("ground", "data")


@click.group(cls=FedGroup)
def certs() -> None:
    """The nodes' certificates: 30 days, renewed at half their life."""


@certs.command()
@on_option
@pass_app
def show(app: App, on: tuple[str, ...]) -> None:
    """What certificate each node has, and whether the next apply would renew it."""
    nodes = app.linux(on)
    now = app.now()
    ca_pem = open_authority(app.home).ca_pem
    with Links(app.parts.connect, app.federation, app.home) as links:
        found = links.ask(nodes, _read)
        decisions = [
            (node, _describe(pem), _decide(app, node, pem, ca_pem, now))
            for node in nodes
            if (pem := found.get(node.name)) is not None
        ]
        if app.json:
            app.output.data([_value(*row) for row in decisions])
        else:
            app.output.table(
                ("node", "ends", "renewal", "why", "serial"), [_row(*row, now) for row in decisions]
            )
        failure = remote.worst(links.failed)
        if failure is not None:
            raise failure


@certs.command()
@click.argument("nodes", nargs=-1, type=Selector(), metavar="[NODE|ROLE]...")
@no_lock_option
@pass_app
def renew(app: App, nodes: tuple[str, ...], no_lock: bool) -> None:
    """Renew what is due: half of its life over, expired, or not what the inventory says.

    The same as `apply`, for the ground every node stands on (certificates among it) only. Services
    that loaded an old certificate are restarted, one node first.
    """
    app.linux(nodes)
    with working(app, "certs renew", ", ".join(nodes)) as work:
        with work.locked("renew certificates", no_lock=no_lock):
            done = carry_out(work, nodes, STAGES)
        if app.json:
            app.output.data({"run": work.run.id, **work.facts})
        app.output.say(in_words(done.summary))


def _read(link: Link) -> bytes:
    """The node's certificate (PEM), empty when it has none."""
    return link.run(["cat", CERTIFICATE], root=True).out.encode()


def _describe(pem: bytes) -> CertificateFacts | None:
    try:
        return certificate.describe(pem)
    except CertificateUnreadable:
        return None


@certs.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Write the files there instead of printing them.",
)
@pass_app
def timer(app: App, folder: Path | None) -> None:
    """The job that renews certificates daily, for this computer (systemd, or launchd on a Mac).

    Nodes cannot sign, so it runs where the authority's key is. Printed, or with --folder written:
    to /etc/systemd/system (then enable federation-cert-renew.timer), or to ~/Library/LaunchAgents.
    """
    program = shutil.which("fedctl") or sys.argv[0]
    job = Job(getpass.getuser(), Path(program).resolve(), app.inventory_path, app.home)
    files = launchd_files(job) if sys.platform == "darwin" else systemd_files(job)
    if folder is not None:
        for name, text in files.items():
            (folder / name).write_text(text)
            app.output.say(f"wrote {folder / name}")
    elif app.json:
        app.output.data(files)
    else:
        for name, text in files.items():
            app.output.text(f"# {name}\n{text}")


def _decide(app: App, node: Node, pem: bytes, ca_pem: bytes, now: datetime) -> Renewal:
    names, addresses = names_of(app.federation, node), addresses_of(node)
    return certificate.decide(pem or None, ca_pem, names, addresses, now)


def _row(
    node: Node, facts: CertificateFacts | None, decision: Renewal, now: datetime
) -> list[str | Text]:
    ends = age(facts.not_after, now) if facts else "-"
    style = GOOD if decision.kind == "keep" else DOUBTFUL if facts else BAD
    serial = facts.serial[:16] if facts else "-"
    return [node.name, ends, Text(decision.kind, style), decision.reason, serial]


def _value(node: Node, facts: CertificateFacts | None, decision: Renewal) -> dict[str, Any]:
    return {
        "node": node.name,
        "renewal": decision.kind,
        "reason": decision.reason,
        "not_before": facts.not_before if facts else None,
        "not_after": facts.not_after if facts else None,
        "renew_at": facts.renew_at if facts else None,
        "names": facts.names if facts else None,
        "serial": facts.serial if facts else None,
    }
