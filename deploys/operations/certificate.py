"""Keep a node's certificate good: the node makes key and request, the operator's authority signs.

One fact and one operation for key, certificate, authority and the services that loaded an older
one: they are restarted, since a renewed certificate nobody serves expires all the same. The
signature comes between two commands on the node, so nobody but the node ever has its key. What
decides is `trust.certificate.decide`; the names are the inventory's, whatever the request says.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any, cast

from pyinfra.api import Host, State, operation
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.connectors.util import CommandOutput
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.certificate import CertificateState
from deploys.layout import AUTHORITY, CERTIFICATE, SEALED_KEY
from deploys.operations.units import SETTLE_SECONDS, TIMEOUT_SECONDS
from deploys.protocol import Change
from deploys.script import NodeScript, decode
from trust.certificate import decide

PATHS = {"certificate": CERTIFICATE, "authority": AUTHORITY, "key": SEALED_KEY}
MODES = {CERTIFICATE: "0644 root:root", AUTHORITY: "0644 root:root", SEALED_KEY: "0600 root:root"}
KEY_FAULTS = {
    "missing": "its key is not there",
    "unreadable": "its key cannot be decrypted on this machine",
    "foreign": "its key is another one",
}


@dataclass(frozen=True)
class Signer:
    """The operator's side: the authority's certificate (empty before there is one) and signing.

    `sign` takes a PEM request; it returns the certificate and the authority's, both PEM.
    """

    authority_pem: bytes
    sign: Callable[[bytes], tuple[bytes, bytes]]


class Issue(NodeScript):
    """Ask the node for a request, sign it here, and install the certificate there."""

    def __init__(
        self, common_name: str, signer: Signer, describe: Sequence[str], later: Sequence[str]
    ) -> None:
        argument = {"key": SEALED_KEY, "common_name": common_name}
        super().__init__("certificate_request", argument, describe)
        self.signer, self.later = signer, later

    def execute(
        self, state: State, host: Host, connector_arguments: ConnectorArguments
    ) -> tuple[bool, CommandOutput]:
        """Run both commands; a refused request raises what the signer raises."""
        succeeded, output = _run(super(), state, host, connector_arguments)
        if not succeeded:
            return succeeded, output
        request = decode(output.stdout_lines)["request"].encode("ascii")
        certificate, authority = self.signer.sign(request)
        install = _install(certificate, authority, new_key=True)
        succeeded, output = _run(install, state, host, connector_arguments)
        if not succeeded:
            return succeeded, output
        return RestartStale(self.later).execute(state, host, connector_arguments)


class RestartStale(NodeScript):
    """Look again, now that the files are right, and restart what loaded others, but `later`."""

    def __init__(self, later: Sequence[str]) -> None:
        self.later = later
        super().__init__("certificate_state", PATHS, ["see who loaded other files"])

    def execute(
        self, state: State, host: Host, connector_arguments: ConnectorArguments
    ) -> tuple[bool, CommandOutput]:
        """Run the look, then the restarts if there are any."""
        succeeded, output = _run(super(), state, host, connector_arguments)
        found = decode(output.stdout_lines)["stale"] if succeeded else []
        stale = [unit for unit in found if unit not in self.later]
        if not stale:
            return succeeded, output
        return _run(_restart(stale), state, host, connector_arguments)


def _run(
    command: Any, state: State, host: Host, connector_arguments: ConnectorArguments
) -> tuple[bool, CommandOutput]:
    # Each command adds its own stdin to the arguments: they must not share them.
    answer = command.execute(state, host, connector_arguments.copy())
    return cast(tuple[bool, CommandOutput], answer)


@operation()
def certificate(
    names: Sequence[str],
    addresses: Sequence[IPv4Address],
    now: datetime,
    signer: Signer,
    later: Sequence[str] = (),
) -> Generator[NodeScript, None, None]:
    """Have a certificate for `names` (the first is the common name) that is good at `now`.

    Units in `later` are left running with the old one: another role restarts them, in turn.
    """
    found = host.get_fact(CertificateState, **PATHS)
    state = {
        **found,
        "serving": [unit for unit in found["serving"] if unit not in later],
        "stale": [unit for unit in found["stale"] if unit not in later],
    }
    reason = why_issue(state, signer.authority_pem, names, addresses, now)
    changes = differences(state, signer.authority_pem, reason)
    if not changes:
        host.noop("the certificate is good")
        return
    announce(changes)
    describe = [str(change) for change in changes]
    if reason:
        yield Issue(names[0], signer, describe, later)
        return
    if any(change.action != "restart" for change in changes):
        other = state["authority"].encode() != signer.authority_pem
        yield _install(b"", signer.authority_pem if other else b"", new_key=False)
    if state["serving"]:
        yield RestartStale(later)


def why_issue(
    state: Mapping[str, Any],
    authority_pem: bytes,
    names: Sequence[str],
    addresses: Sequence[IPv4Address],
    now: datetime,
) -> str:
    """Why a new certificate is due, or nothing; pure."""
    if not authority_pem:
        return "there is no authority yet"
    renewal = decide(state["certificate"].encode(), authority_pem, names, addresses, now)
    if renewal.kind == "issue":
        return renewal.reason
    return KEY_FAULTS.get(state["key"], "")


def differences(state: Mapping[str, Any], authority_pem: bytes, reason: str) -> list[Change]:
    """What would change, for people; pure. Nothing here is secret: no key, no encrypted key."""
    changes = []
    modes = state["modes"]
    if state["authority"].encode() != authority_pem or not authority_pem:
        changes.append(Change("update" if state["authority"] else "create", AUTHORITY))
    if reason:
        verb = "update" if state["certificate"] else "create"
        changes.append(Change(verb, CERTIFICATE, f"# issued anew: {reason}\n"))
        changes.append(Change("create" if state["key"] == "missing" else "update", SEALED_KEY))
    written = {change.subject for change in changes}
    for path, wanted in MODES.items():
        if path not in written and modes.get(path) != wanted:
            changes.append(Change("update", path, f"-{modes.get(path, '')}\n+{wanted}\n"))
    if reason:
        return changes + [Change("restart", unit) for unit in state["serving"]]
    if AUTHORITY in written:
        # Who is stale beside a wrong file may be right beside the right one.
        return changes
    return changes + [Change("restart", unit) for unit in state["stale"]]


def _restart(units: Sequence[str]) -> NodeScript:
    argument = {
        **{verb: [] for verb in ("mask", "unmask", "enable", "disable", "stop")},
        "daemon_reload": False,
        "start": [["restart", unit] for unit in units],
        "settle_seconds": SETTLE_SECONDS,
        "timeout_seconds": TIMEOUT_SECONDS,
    }
    return NodeScript("units_apply", argument, [f"restart {unit}" for unit in units])


def _install(certificate: bytes, authority: bytes, *, new_key: bool) -> NodeScript:
    argument = {
        **PATHS,
        "certificate_pem": certificate.decode("ascii"),
        "authority_pem": authority.decode("ascii"),
        "new_key": new_key,
    }
    return NodeScript("certificate_install", argument, ["install certificates, keys and modes"])
