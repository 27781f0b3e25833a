"""Have a node do one job of ours, and read what it answers; a job that fails says why.

What runs on a node runs as the node's own user in a transient unit, with the credentials that user
has there, so that no key and no passphrase lies anywhere for this. What a timer starts is started
by its unit.
"""

import json
from collections.abc import Sequence
from typing import Any

from deploys.errors import FailureKind, NodeError
from deploys.layout import SEALED_KEY
from fedctl.errors import FedctlError
from fedctl.remote import Done, Link

LONG_SECONDS = 86400.0
TLS_KEY = f"tls.key:{SEALED_KEY}"


def transient(
    user: str,
    argv: Sequence[str],
    *,
    credentials: Sequence[str] = (TLS_KEY,),
    handed_over: str = "",
    writes: Sequence[str] = (),
) -> list[str]:
    """A command in a unit of its own: as `user`, with these credentials, writing only to `writes`.

    `handed_over` names a folder in memory, below /run, for a secret that is given on; it goes with
    the unit, so no two may share one.
    """
    properties = [
        f"User={user}",
        *([f"RuntimeDirectory={handed_over}", "RuntimeDirectoryMode=0700"] if handed_over else []),
        *(f"LoadCredentialEncrypted={credential}" for credential in credentials),
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "UMask=0077",
        *(f"ReadWritePaths={path}" for path in writes),
    ]
    options = [word for item in properties for word in ("-p", item)]
    return ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", *options, "--", *argv]


def done_well(link: Link, done: Done, what: str) -> str:
    """Its output; raises NodeError with the last thing it said."""
    if done.code != 0:
        said = (
            done.err.strip().splitlines()
            or done.out.strip().splitlines()
            or [f"exit code {done.code}"]
        )
        raise NodeError(FailureKind.OPERATION, f"{link.node.name}: {what}: {said[-1]}")
    return done.out


def asked(link: Link, argv: Sequence[str], what: str, seconds: float = 120.0) -> Any:
    """The JSON a command on the node prints."""
    out = done_well(link, link.run(argv, root=True, seconds=seconds), what)
    try:
        return json.loads(out.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        text = f"{link.node.name}: {what} said {out[-200:]!r}"
        raise NodeError(FailureKind.OPERATION, text) from error


def shell(link: Link, script: str, what: str, seconds: float = 600.0) -> str:
    """A script as root; raises NodeError."""
    return done_well(link, link.run(["sh", "-ec", script], root=True, seconds=seconds), what)


def run_unit(link: Link, unit: str) -> dict[str, Any]:
    """Start a job's unit and wait; the JSON it printed last. Raises FedctlError, saying why."""
    done = link.run(["systemctl", "start", unit], root=True, seconds=LONG_SECONDS)
    ask = ["systemctl", "show", "--value", "-p", "InvocationID", unit]
    invocation = link.run(ask).out.strip()
    which = (
        [f"_SYSTEMD_INVOCATION_ID={invocation}"] if invocation else [f"--unit={unit}", "-n", "20"]
    )
    argv = ["journalctl", "--quiet", "--no-pager", "--output=cat", *which]
    lines = link.run(argv, root=True).out.strip().splitlines()
    if done.code != 0:
        raise FedctlError(
            f"{link.node.name}: {unit} failed: {why_failed(lines) or done.err.strip()}",
            f"fedctl logs {unit} --on {link.node.name}",
        )
    return last_json(lines)


def why_failed(lines: Sequence[str]) -> str:
    """The line of a failed unit's journal that says why: the job's own, or pgBackRest's, if any."""
    plain = [line for line in lines if not line.startswith(("{", "Starting ", "Failed "))]
    told = [line for line in plain if line.startswith(("federation-", "ERROR"))]
    return next(reversed(told or plain), "")


def last_json(lines: Sequence[str]) -> dict[str, Any]:
    """The last JSON object among lines of a journal; empty when there is none."""
    for line in reversed(lines):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            return dict(found)
    return {}
