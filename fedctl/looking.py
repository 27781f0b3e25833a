"""Looks at nodes over SSH and has `runbooks.health` judge what they say."""

from collections.abc import Sequence

from deploys.errors import FailureKind, NodeError
from fedctl.advice import BY_FAILURE
from fedctl.app import App
from fedctl.remote import Link, Links
from inventory.model import Federation, Node
from inventory.services import expected
from runbooks import observe
from runbooks.errors import ObservationUnreadable
from runbooks.health import Health, evaluate
from runbooks.observe import Observation

LOOK_SECONDS = 5.0


def look(federation: Federation, link: Link) -> Observation:
    """What one node says about itself; raises NodeError."""
    argv = observe.command(expected(federation, link.node))
    done = link.run(argv, root=True, stdin=observe.program(), seconds=LOOK_SECONDS)
    if done.code != 0:
        said = done.err.strip().splitlines()
        text = said[-1] if said else f"exit code {done.code}"
        raise NodeError(FailureKind.OPERATION, f"{link.node.name}: {text}")
    try:
        return observe.read(link.node.name, done.out)
    except ObservationUnreadable as error:
        raise NodeError(FailureKind.OPERATION, str(error)) from error


def observations(app: App, links: Links, nodes: Sequence[Node]) -> dict[str, Observation]:
    """What every node says, or why it says nothing."""
    seen = links.ask(nodes, lambda link: look(app.federation, link))
    for node in nodes:
        if node.name not in seen:
            seen[node.name] = silent(node, links.failed.get(node.name))
    return seen


def silent(node: Node, error: NodeError | None) -> Observation:
    """What there is to say about a node that says nothing, and what can be done about it."""
    if error is None:
        return observe.unreachable(node.name, "no answer")
    advice = BY_FAILURE.get(error.kind, "").replace("NODE", node.name)
    return observe.unreachable(node.name, f"unreachable: {error.kind.value}", advice)


def health(app: App, links: Links, nodes: Sequence[Node]) -> tuple[dict[str, Observation], Health]:
    """Observations and the judgement."""
    seen = observations(app, links, nodes)
    return seen, evaluate(app.federation, seen, app.now(), nodes)
