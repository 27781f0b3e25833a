"""What nodes are given, built or fetched on this machine before anything is deployed."""

import os
from pathlib import Path

from deploys import engine, patroni, release
from inventory.home import Home
from inventory.model import Federation, Role
from inventory.progress import Progress


def build_all(federation: Federation, home: Home, progress: Progress) -> None:
    """The release, Patroni and the engine, as far as nodes need them; raises BuildMissing."""
    release.build(home, progress)
    if federation.with_role(Role.DATA):
        patroni.build(home, progress)
    if federation.with_role(Role.INFERENCE):
        model = os.environ.get(engine.MODEL_VARIABLE)
        engine.build(home, federation, Path(model) if model else None, progress)
