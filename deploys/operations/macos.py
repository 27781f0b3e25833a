"""Keep a Mac as it should be: launchd, Homebrew, names, certificate; one fact, one command each.

pyinfra's launchd operation can start and stop; it cannot tell a loaded job from a changed one.
"""

from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any, cast

from pyinfra.api import Host, State, operation
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.connectors.util import CommandOutput
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.macos import BrewState, LaunchdStates, MacCertificateState, MacState
from deploys.launchd import LaunchDaemon
from deploys.operations.certificate import Signer, why_issue
from deploys.protocol import Change
from deploys.script import NodeScript, decode

TIMEOUT_SECONDS = 1800
NAMES = ("HostName", "LocalHostName", "ComputerName")
UNLOADED: Mapping[str, bool] = {"loaded": False, "running": False, "current": False}


@operation()
def launchd(daemons: Sequence[LaunchDaemon]) -> Generator[NodeScript, None, None]:
    """Have each daemon's present property list loaded, with the files it reads as they are now.

    A job that loaded other files is booted out and bootstrapped again: launchd never looks at a
    changed property list by itself.
    """
    jobs = {daemon.label: [daemon.path, *daemon.loads] for daemon in daemons}
    states = host.get_fact(LaunchdStates, jobs=jobs)
    changes, load = [], {}
    for daemon in daemons:
        state = states.get(daemon.label, UNLOADED)
        always = daemon.daily_at is None
        if not state["loaded"]:
            changes.append(Change("bootstrap", daemon.label))
        elif not state["current"] or (always and not state["running"]):
            changes.append(Change("restart", daemon.label))
        else:
            continue
        load[daemon.label] = {"plist": daemon.path, "files": jobs[daemon.label], "runs": always}
    if not changes:
        host.noop(f"{len(daemons)} launch daemons are as they should be")
        return
    announce(changes)
    yield NodeScript("launchd_apply", {"jobs": load}, [str(change) for change in changes])


@operation()
def brew_packages(names: Sequence[str]) -> Generator[NodeScript, None, None]:
    """Install those of `names` that are missing, as the user Homebrew belongs to (never root)."""
    state = host.get_fact(BrewState, packages=list(names))
    missing = [name for name in names if name not in state.get("installed", ())]
    if not missing:
        host.noop(f"{len(names)} packages are installed")
        return
    changes = [Change("install", name) for name in missing]
    announce(changes)
    yield NodeScript(
        "brew_install",
        {"packages": missing},
        [str(change) for change in changes],
        timeout_seconds=TIMEOUT_SECONDS,
    )


@operation()
def mac_machine(hostname: str, account: str) -> Generator[NodeScript, None, None]:
    """Have the machine's three names, and the account our daemons run as."""
    state = host.get_fact(MacState, account=account)
    names = {name: hostname for name in NAMES if state.get("names", {}).get(name) != hostname}
    changes = [Change(f"set {name}", hostname) for name in names]
    if not state.get("account"):
        changes.append(Change("create account", account))
    if not changes:
        host.noop("names and account are as they should be")
        return
    announce(changes)
    argument = {"names": names, "account": "" if state.get("account") else account}
    yield NodeScript("mac_apply", argument, [str(change) for change in changes])


class Issue(NodeScript):
    """Ask the Mac for a request, sign it here, and install the certificate there."""

    def __init__(
        self, argument: Mapping[str, Any], signer: Signer, describe: Sequence[str]
    ) -> None:
        super().__init__("mac_certificate_request", argument, describe)
        self.signer = signer

    def execute(
        self, state: State, host: Host, connector_arguments: ConnectorArguments
    ) -> tuple[bool, CommandOutput]:
        """Run both commands; a refused request raises what the signer raises."""
        answer = super().execute(state, host, connector_arguments.copy())
        succeeded, output = cast(tuple[bool, CommandOutput], answer)
        if not succeeded:
            return succeeded, output
        request = decode(output.stdout_lines)["request"].encode("ascii")
        certificate, authority = self.signer.sign(request)
        pems = {"certificate_pem": certificate.decode(), "authority_pem": authority.decode()}
        install = NodeScript(
            "mac_certificate_install", {**self.argument, **pems}, ["install certificate"]
        )
        return cast(
            tuple[bool, CommandOutput], install.execute(state, host, connector_arguments.copy())
        )


@operation()
def mac_certificate(
    names: Sequence[str],
    addresses: Sequence[IPv4Address],
    now: datetime,
    signer: Signer,
    paths: Mapping[str, str],
    group: str,
) -> Generator[NodeScript, None, None]:
    """Have a certificate for `names` that is good at `now`.

    `paths` has `certificate`, `authority` and `key`. The key is made on the Mac and never leaves
    it; macOS has no encrypted credentials, so it is a file that root and `group` can read.
    """
    state = host.get_fact(MacCertificateState, **paths)
    blank = {"certificate": "", "authority": "", "key": "missing"}
    state = {**blank, **state}
    reason = why_issue(state, signer.authority_pem, names, addresses, now)
    if not reason and state["authority"].encode() != signer.authority_pem:
        reason = "the authority's certificate here is another one"
    if not reason:
        host.noop("the certificate is good")
        return
    changes = [Change("issue", paths["certificate"], f"# issued anew: {reason}\n")]
    announce(changes)
    argument = {**paths, "group": group, "common_name": names[0]}
    yield Issue(argument, signer, [str(change) for change in changes])
