"""Have a model on an inference node: made there by a program, or copied and checked by hash."""

from collections.abc import Generator, Sequence

from pyinfra.api import operation
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import host

from deploys.changes import announce
from deploys.facts.models import ModelState
from deploys.model_files import ModelFiles
from deploys.protocol import Change
from deploys.script import NodeScript
from deploys.ship import Destination, Ship

KEPT_MODELS = 2
TIMEOUT_SECONDS = 3600


@operation()
def made(path: str, program: Sequence[str], digest: str) -> Generator[PyinfraCommand, None, None]:
    """Have `program PATH` make the model in `path`, unless the one there says it is `digest`."""
    if host.get_fact(ModelState, path=path)["marker"] == digest:
        host.noop(f"{path} is there")
        return
    change = Change("make", path)
    announce([change])
    yield _install(path, digest, change, make=list(program))


@operation()
def copied(path: str, model: ModelFiles, to: Destination) -> Generator[PyinfraCommand, None, None]:
    """Have the operator's `model` in `path`; files that arrived in an earlier attempt are kept."""
    state = host.get_fact(ModelState, path=path)
    if state["marker"] == model.digest:
        host.noop(f"{path} is there")
        return
    change = Change("copy", path, f"+{model.digest}\n")
    announce([change])
    incoming = state["incoming"]
    files = {
        name: model.folder / name
        for name in model.sums
        if incoming.get(name) != (model.folder / name).stat().st_size
    }
    if files:
        folder, _, name = path.rpartition("/")
        yield Ship(to, f"{folder}/.incoming-{name}", files)
    yield _install(path, model.digest, change, files=dict(model.sums))


def _install(path: str, digest: str, change: Change, **how: object) -> NodeScript:
    argument = {"path": path, "digest": digest, "make": [], "files": {}, "keep": KEPT_MODELS, **how}
    return NodeScript("model_install", argument, [str(change)], timeout_seconds=TIMEOUT_SECONDS)
