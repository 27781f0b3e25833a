"""The checks of `doctor`, from near to far: this machine, the inventory, each node, the ports."""

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from deploys.authority import open_authority
from deploys.own_secrets import store_of
from fedctl import host_keys
from fedctl.advice import BY_FAILURE
from fedctl.app import App
from fedctl.looking import health
from fedctl.remote import Links, each
from inventory.errors import InventoryError
from inventory.flows import flows
from inventory.model import Node
from lab.errors import LabError
from runbooks.health import Health, Severity
from trust import operator_ssh
from trust.errors import AuthorityMissing, SecretMissing, TrustError
from trust.operator_ssh import SSH

FREE_BYTES = 2 << 30
DIAL_SECONDS = 3.0


class State(StrEnum):
    """How a check ended."""

    GOOD = "ok"
    DOUBTFUL = "warning"
    BAD = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    what: str
    state: State
    found: str = ""
    advice: str = ""


def checkup(app: App) -> Iterator[Check]:
    """Every check; later ones are skipped when they cannot mean anything."""
    try:
        federation = app.federation
    except InventoryError as error:
        yield Check("inventory", State.BAD, str(error), "fedctl inventory check")
        return
    yield Check("inventory", State.GOOD, f"{app.inventory_path}, {len(federation.nodes)} nodes")
    yield from this_machine(app)
    if federation.kind == "lab":
        yield from lab_requirements(app)
    with Links(app.parts.connect, app.federation, app.home) as links:
        links.reach(federation.nodes)
        for node in federation.nodes:
            yield ssh(app, links, node)
        up = [node for node in federation.nodes if node.name in links.open]
        if up:
            _, judged = health(app, links, up)
            yield from verdicts(judged)
    yield from ports(app)


def this_machine(app: App) -> Iterator[Check]:
    """The operator's folders, key, disk and authority."""
    home = app.home
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = shutil.disk_usage(home.root).free
    state = State.GOOD if free > FREE_BYTES else State.BAD
    shown = f"{free / (1 << 30):.0f} GiB free at {home.root}"
    yield Check("disk of this machine", state, shown, "make room: caches are in " + str(home.cache))
    yield ssh_key(app)
    try:
        authority = open_authority(home)
        yield Check("certificate authority", State.GOOD, authority.name)
    except AuthorityMissing:
        yield Check("certificate authority", State.SKIPPED, "the first deploy makes it")
    except TrustError as error:
        yield Check("certificate authority", State.BAD, str(error))


def ssh_key(app: App) -> Check:
    """The operator's SSH key: in the store, and it opens."""
    try:
        operator_ssh.private_text(app.home)
    except SecretMissing:
        if app.federation.kind == "lab":
            return Check("SSH key", State.SKIPPED, "`fedctl up` makes it")
        advice = "fedctl secrets ssh-key makes it; authorise it on the machines"
        return Check("SSH key", State.BAD, "there is none", advice)
    except TrustError as error:
        return Check("SSH key", State.BAD, str(error), "docs/how-to/secrets.md")
    return Check("SSH key", State.GOOD, f"{store_of(app.home).path(SSH)}, encrypted")


def lab_requirements(app: App) -> Iterator[Check]:
    """Whether this computer can run the lab."""
    try:
        missing = app.parts.lab().missing_requirements(app.federation)
    except LabError as error:
        yield Check("lab", State.BAD, str(error))
        return
    if not missing:
        yield Check("lab", State.GOOD, "this computer can run it")
    for lack in missing:
        yield Check("lab", State.BAD, f"lacks {lack.what}", lack.remedy)


def ssh(app: App, links: Links, node: Node) -> Check:
    """Whether we can log in, and if not, which of the many reasons it is."""
    what = f"SSH to {node.name}"
    if node.name in links.open:
        user = links.open[node.name].user
        bare = user != app.federation.operator_user
        return Check(what, State.GOOD, f"as {user}" + (" (bare machine)" if bare else ""))
    error = links.failed.get(node.name)
    if not host_keys.pinned(app.federation, app.home, node):
        # The lab knows its machines' keys and pins them itself.
        lab = app.federation.kind == "lab"
        advice = "fedctl up" if lab else f"fedctl bootstrap {node.name} --host-key FINGERPRINT"
        return Check(what, State.BAD, f"no host key is pinned; {error}", advice)
    advice = BY_FAILURE.get(error.kind, "") if error else ""
    return Check(what, State.BAD, str(error or "no answer"), advice.replace("NODE", node.name))


def verdicts(judged: Health) -> Iterator[Check]:
    """What the nodes said about themselves: findings, or one line that all is well."""
    if not judged.findings:
        yield Check("services, clocks, disks, certificates", State.GOOD, judged.reason)
    for finding in judged.findings:
        state = State.BAD if finding.severity is Severity.CRITICAL else State.DOUBTFUL
        what = f"{finding.subject} on {finding.node}"
        yield Check(what, state, finding.reason, finding.advice)


def ports(app: App) -> Iterator[Check]:
    """From here: what the model lets the operator reach answers, and the rest does not."""
    federation = app.federation
    own = our_address(federation.nodes[0])
    every = sorted(set(federation.ports.model_dump().values()))
    pairs = [(node, port) for node in federation.nodes for port in every]
    reached = dict(zip(pairs, each(pairs, lambda pair: answers(*pair)), strict=True))
    may = {
        (node, flow.port)
        for flow in flows(federation)
        for node in flow.targets
        if own is not None and flow.admits(own, node)
    }
    shut = [f"{n.name}:{p}" for n, p in pairs if (n, p) in may and not reached[n, p]]
    ajar = [f"{n.name}:{p}" for n, p in pairs if (n, p) not in may and reached[n, p]]
    if own is None:
        yield Check("ports", State.SKIPPED, "no way to the nodes from here")
        return
    if own not in federation.network.operator_addresses:
        shown = f"from here nodes see {own}, which is no operator's"
        yield Check("ports", State.DOUBTFUL, shown, "add it to network.operator_addresses")
    if shut:
        yield Check("ports that should answer", State.BAD, " ".join(shut), "fedctl status")
    if ajar:
        yield Check("ports that should not answer", State.BAD, " ".join(ajar), "fedctl plan")
    if not shut and not ajar:
        yield Check("ports from here", State.GOOD, f"{len(may)} open, {len(pairs) - len(may)} shut")


def answers(node: Node, port: int) -> bool:
    """Whether a TCP connection can be had."""
    try:
        socket.create_connection((str(node.address), port), DIAL_SECONDS).close()
    except OSError:
        return False
    return True


def our_address(node: Node) -> IPv4Address | None:
    """The address this machine uses towards the nodes; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(node.address), node.ssh.port))
        except OSError:
            return None
        return IPv4Address(probe.getsockname()[0])
