"""Six machines of the tests' own, driven through `fedctl` as a person would.

The tests never touch the lab a person may have running: theirs has another name, another subnet
and a home of its own. (FEDERATION_TEST_NAME, _SUBNET and _HOME name yet others, so that two
checkouts can test at once.) Only the cache (root file system, packages, wheels) is shared, because
nothing in it is secret or mutable.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lab
from inventory.home import CACHE_VARIABLE, HOME_VARIABLE, IDENTITY_VARIABLE, Home, home_of
from inventory.load import INVENTORY_VARIABLE, load
from inventory.model import Federation, Node, Role
from lab.errors import NodeNotRunning

REPOSITORY = Path(__file__).parents[2]
FEDCTL = Path(sys.executable).parent / "fedctl"
NAME = os.environ.get("FEDERATION_TEST_NAME", "fedtest")
SUBNET = os.environ.get("FEDERATION_TEST_SUBNET", "10.87.45")
UP_SECONDS = 1500
COMMAND_SECONDS = 300


def write_inventory(folder: Path) -> Path:
    """The shipped lab inventory under another name and subnet; returns the file's path."""
    text = (REPOSITORY / "inventory" / "lab.toml").read_text()
    text = re.sub(r'^name = "lab"', f'name = "{NAME}"', text, flags=re.MULTILINE)
    text = text.replace("10.87.43.", f"{SUBNET}.").replace("lab.internal", f"{NAME}.internal")
    path = folder / f"{NAME}.toml"
    path.write_text(text)
    return path


@dataclass(frozen=True)
class Fleet:
    """A provisioned federation and the operator's state that goes with it."""

    inventory: Path
    base: Path
    cache: Path
    # The last command and how it ended; nothing while one runs by itself.
    last: list[tuple[tuple[str, ...], int]] = field(default_factory=list, repr=False, compare=False)

    @property
    def environment(self) -> dict[str, str]:
        """What `fedctl` must see to manage this fleet and no other."""
        return {
            **os.environ,
            INVENTORY_VARIABLE: str(self.inventory),
            HOME_VARIABLE: str(self.base),
            CACHE_VARIABLE: str(self.cache),
            IDENTITY_VARIABLE: str(self.home.identity),
            "COLUMNS": "120",
        }

    @property
    def federation(self) -> Federation:
        """The inventory, read again at each use."""
        return load(self.inventory)

    @property
    def home(self) -> Home:
        """The operator's folders of this fleet."""
        return Home(root=self.base / NAME, cache=self.cache)

    def leader(self) -> Node:
        """The data node that leads."""
        status = self.json("ledger", "status", expect=None)
        return self.federation.node(status["leader"])

    def one(self, role: Role, index: int = 0) -> Node:
        """A node that carries `role`."""
        return self.federation.with_role(role)[index]

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`fedctl ARGUMENTS` running in a process group of its own."""
        self.last.clear()
        return subprocess.Popen(
            [str(FEDCTL), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def fedctl(
        self, *arguments: str, expect: int | None = 0, timeout_seconds: float = COMMAND_SECONDS
    ) -> "subprocess.CompletedProcess[str]":
        """Run `fedctl ARGUMENTS`; a surprising exit code fails with everything it printed."""
        done = subprocess.run(
            [str(FEDCTL), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        self.last[:] = [(arguments, done.returncode)]
        if expect is not None and done.returncode != expect:
            raise AssertionError(
                f"fedctl {' '.join(arguments)} exited {done.returncode}, not {expect}\n"
                f"--- stdout\n{done.stdout[-6000:]}\n--- stderr\n{done.stderr[-6000:]}"
            )
        return done

    def as_it_should_be(self) -> bool:
        """Whether the very last thing that was done here was a plan that found nothing to do."""
        return self.last == [(("plan",), 0)]

    def json(self, *arguments: str, **options: Any) -> Any:
        """What `fedctl --json ARGUMENTS` printed, decoded."""
        return json.loads(self.fedctl("--json", *arguments, **options).stdout)

    def inside(
        self, node: Node, *argv: str, expect: int | None = 0, timeout_seconds: float = 180
    ) -> str:
        """Run a command on `node` as root, past its network; returns what it printed (nothing,
        where any end will do, of a node that is off). What `fedctl lab exec` calls is called here,
        because to start fedctl for each of hundreds of looks takes minutes.
        """
        self.last.clear()
        try:
            done = lab.run_in(
                self.federation, self.home, node, argv, timeout_seconds=timeout_seconds
            )
        except NodeNotRunning:
            if expect is None:
                return ""
            raise
        if expect is not None and done.exit_code != expect:
            raise AssertionError(
                f"{' '.join(argv)} exited {done.exit_code} on {node.name}, not {expect}\n"
                f"--- stdout\n{done.stdout[-6000:]}\n--- stderr\n{done.stderr[-6000:]}"
            )
        return done.stdout

    def shell(self, node: Node, script: str, **options: Any) -> str:
        """Run a shell script on `node` as root, past its network."""
        return self.inside(node, "sh", "-c", script, **options)


def default_cache() -> Path:
    """The cache a person's own lab uses, so that tests need not make everything again."""
    return home_of(NAME).cache


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until `condition` holds; fail when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)
