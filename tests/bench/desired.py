"""What our deploys keep on each node, as data: what they ask about, as it is on a converged node.

The Ansible peer of `make bench-deploy` keeps exactly this state, so that both tools look after the
same files, packages and units and neither has less to check.
"""

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inventory.home import Home
from inventory.model import Federation, Node
from trust.operator_ssh import lent_path


@dataclass
class Desired:
    """One node's state. `other`: names of checks that scripts of our own make."""

    directories: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    enabled: list[str] = field(default_factory=list)
    masked: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


def desired(federation: Federation, home: Home) -> dict[str, Desired]:
    """The state of every node of a converged federation."""
    with tempfile.TemporaryDirectory(prefix="federation-asked-") as name:
        folder = Path(name)
        plan = [sys.executable, "-m", "tests.bench.recording", str(folder)]
        subprocess.run(plan, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return {
            node.name: _state(federation, home, node, folder / f"{node.name}.jsonl")
            for node in federation.nodes
        }


def on_node(federation: Federation, home: Home, node: Node, command: str, text: str = "") -> bytes:
    """What a command prints, run as root on the node."""
    done = subprocess.run(
        [
            *("ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"),
            *("-o", f"UserKnownHostsFile={home.known_hosts}", "-i", str(lent_path(home))),
            *("-p", str(node.ssh.port), f"{federation.operator_user}@{node.address}"),
            f"sudo {command}",
        ],
        input=text.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.stdout


def _state(federation: Federation, home: Home, node: Node, asked: Path) -> Desired:
    found = Desired()
    paths: list[str] = []
    units: list[str] = []
    for line in asked.read_text().splitlines():
        question = json.loads(line)
        script, argument = question["script"], question["argument"]
        if script == "files_state":
            paths += argument["paths"]
        elif script == "packages_state":
            found.packages += argument["packages"]
        elif script == "units_state":
            units += argument["units"]
        else:
            found.other.append(script)
    found.packages = _once(found.packages)
    listed = "".join(f"{path}\n" for path in _once(paths))
    archive = on_node(
        federation, home, node,
        "tar --create --no-recursion --absolute-names --ignore-failed-read --files-from=-", listed,
    )  # fmt: skip
    _read_paths(found, archive, _once(paths))
    shown = on_node(
        federation, home, node,
        "systemctl show --property Id,ActiveState,UnitFileState " + " ".join(_once(units)),
    ).decode()  # fmt: skip
    _read_units(found, shown)
    return found


def _read_paths(found: Desired, archive: bytes, paths: list[str]) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        seen = set()
        for member in tar:
            path = "/" + member.name.strip("/")
            seen.add(path)
            owned = {
                "path": path, "mode": member.mode, "owner": member.uname, "group": member.gname,
            }  # fmt: skip
            if member.isdir():
                found.directories.append(owned)
            elif member.issym():
                found.links.append({"path": path, "target": member.linkname})
            elif content := tar.extractfile(member):
                found.files.append({**owned, "content": content.read()})
    found.absent = [path for path in paths if path.rstrip("/") not in seen]


def _read_units(found: Desired, shown: str) -> None:
    for block in shown.split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if unit.get("UnitFileState", "").startswith("masked"):
            found.masked.append(unit["Id"])
        elif unit.get("ActiveState") == "active":
            found.running.append(unit["Id"])
        elif unit.get("UnitFileState") == "enabled":
            found.enabled.append(unit["Id"])


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
