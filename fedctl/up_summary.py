"""How `up` ends: nodes, addresses, services, the key (this once), what to type next."""

import shutil
import sys
from pathlib import Path
from typing import Any

from fedctl.bringing_up import Result
from fedctl.deploying import in_words
from fedctl.work import Work
from inventory.model import Federation, Node, Role
from inventory.services import services


def show(work: Work, result: Result) -> None:
    """The summary: data on stdout, what to do with it on stderr."""
    app = work.app
    if app.json:
        app.output.data(value(work, result))
        return
    federation, out = app.federation, app.output
    out.text("")
    rows = [
        (node.name, str(node.address), " ".join(node.roles), " ".join(_short(node)))
        for node in federation.nodes
    ]
    out.table(("node", "address", "roles", "services"), rows)
    out.text("")
    for title, url in addresses(federation):
        out.text(f"{title:<14}{url}")
    answered = result.completion
    if answered:
        out.text(
            f"{'Answered':<14}{answered['completion_tokens']} tokens from {answered['model']} "
            f"through {answered['gateway']} in {answered['milliseconds']} ms"
        )
    if result.custody:
        out.text(f"{'Custody':<14}{result.custody}")
    if result.key:
        out.text(f"{'API key':<14}{result.key}")
    out.text("")
    for line in next_steps(work, result):
        out.say(line)


def value(work: Work, result: Result) -> dict[str, Any]:
    """What `--json` says."""
    federation = work.app.federation
    changed = {node.node: node for node in result.summary.nodes}
    return {
        "run": work.run.id,
        "outcome": result.summary.outcome.value,
        "healthy": result.judged.healthy,
        "findings": [str(finding) for finding in result.judged.findings],
        "nodes": [
            {
                "name": node.name,
                "address": str(node.address),
                "roles": list(node.roles),
                "services": list(services(node)),
                "changed": changed[node.name].changed if node.name in changed else 0,
                "release": result.observed[node.name].release,
            }
            for node in federation.nodes
        ],
        "addresses": dict(addresses(federation)),
        "completion": result.completion,
        "custody": result.custody or None,
        "key": result.key or None,
        "ca": str(work.app.home.authority / "ca.pem"),
    }


def addresses(federation: Federation) -> list[tuple[str, str]]:
    """What a person may open, with a word for it."""
    ports = federation.ports
    gateways = federation.with_role(Role.GATEWAY)
    monitoring = federation.with_role(Role.MONITORING)
    return [
        *(
            (f"Gateway {n}", f"https://{g.address}:{ports.gateway}/v1")
            for n, g in enumerate(gateways, 1)
        ),
        *(("Prometheus", f"https://{m.address}:{ports.prometheus}") for m in monitoring),
        *(("Alertmanager", f"https://{m.address}:{ports.alertmanager}") for m in monitoring),
    ]


def next_steps(work: Work, result: Result) -> list[str]:
    """What to type next."""
    app = work.app
    gateways = app.federation.with_role(Role.GATEWAY)
    lines = [f"Everything is up: {in_words(result.summary)}."]
    if result.key and gateways:
        lines += [
            "The key above is not shown again. Try it:",
            f"  curl --cacert {app.home.authority / 'ca.pem'} \\",
            f'    -H "Authorization: Bearer {result.key[:8]}..." \\',
            f"    https://{gateways[0].address}:{app.federation.ports.gateway}/v1/models",
        ]
    if shutil.which("fedctl") is None:
        lines.append(
            f"First: . {Path(sys.prefix) / 'bin' / 'activate'}   (puts fedctl on your PATH)"
        )
    lines += [
        "Next: fedctl chat               talk to the model",
        "      fedctl status --watch     nodes and services",
        "      fedctl logs gateway -f    who asks what",
        "      fedctl keys issue NAME    a key for somebody else",
    ]
    lines.append(f"Log of this run: fedctl runs show {work.run.id}")
    return lines


def _short(node: Node) -> list[str]:
    return [name.removeprefix("federation-").removesuffix(".service") for name in services(node)]
