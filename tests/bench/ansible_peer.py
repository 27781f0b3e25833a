"""The peer: an Ansible project, run through ansible-runner, that keeps our deploys' state.

As its users tune it: SSH connections kept open, pipelining, as many forks as nodes, facts not
gathered because nothing here needs them. Work that our deploys do with scripts of their own
(certificates, the release, the database) becomes one cheap command each: in Ansible's favour.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible_runner

from inventory.home import Home
from inventory.model import Federation
from tests.bench.desired import Desired
from trust.operator_ssh import lent_path

FORKS = 6


@dataclass(frozen=True)
class PeerRun:
    """How a playbook run ended: the sum of its counts over all hosts."""

    ok: int
    changed: int
    failed: int


def write_project(
    folder: Path, federation: Federation, home: Home, wanted: Mapping[str, Desired]
) -> None:
    """Lay out an ansible-runner private data folder under `folder`."""
    for name in ("inventory", "env", "project/files"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    hosts = {
        node.name: _host_vars(folder, federation, home, node.name, wanted[node.name])
        for node in federation.nodes
    }
    _write(folder / "inventory" / "hosts.yml", {"all": {"hosts": hosts}})
    _write(
        folder / "env" / "envvars",
        {
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_SSH_ARGS": (
                "-o ControlMaster=auto -o ControlPersist=60s -o StrictHostKeyChecking=yes "
                f"-o UserKnownHostsFile={home.known_hosts}"
            ),
            "ANSIBLE_INJECT_FACT_VARS": "False",
        },
    )
    _write(folder / "project" / "site.yml", [_play()])


def run(folder: Path) -> PeerRun:
    """Run the playbook once."""
    done = ansible_runner.run(
        private_data_dir=str(folder),
        playbook="site.yml",
        forks=FORKS,
        quiet=True,
        envvars={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    stats: dict[str, Any] = done.stats or {}

    def total(name: str) -> int:
        return sum(stats.get(name, {}).values())

    if done.rc != 0:
        raise RuntimeError(f"ansible failed; see {folder}/artifacts\n{done.stdout.read()[-3000:]}")
    return PeerRun(ok=total("ok"), changed=total("changed"), failed=total("failures"))


def _host_vars(
    folder: Path, federation: Federation, home: Home, name: str, wanted: Desired
) -> dict[str, Any]:
    node = federation.node(name)
    sources = folder / "project" / "files" / name
    sources.mkdir(parents=True, exist_ok=True)
    files = []
    for index, item in enumerate(wanted.files):
        source = sources / str(index)
        source.write_bytes(item["content"])
        files.append({**_attributes(item), "src": str(source)})
    return {
        "ansible_host": str(node.address),
        "ansible_port": node.ssh.port,
        "ansible_user": federation.operator_user,
        "ansible_ssh_private_key_file": str(lent_path(home)),
        "ansible_python_interpreter": "/usr/bin/python3",
        "directories": [_attributes(item) for item in wanted.directories],
        "files": files,
        "links": wanted.links,
        "absent": wanted.absent,
        "packages": wanted.packages,
        "running": wanted.running,
        "enabled": wanted.enabled,
        "masked": wanted.masked,
        "other": wanted.other,
    }


def _attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "path": item["path"],
        "mode": f"{item['mode']:04o}",
        "owner": item["owner"],
        "group": item["group"],
    }


def _play() -> dict[str, Any]:
    def task(name: str, module: str, arguments: Any, loop: str | None = None) -> dict[str, Any]:
        looped = {"loop": "{{ " + loop + " }}", "loop_control": {"label": ""}} if loop else {}
        return {"name": name, f"ansible.builtin.{module}": arguments, **looped}

    owned = {key: "{{ item." + key + " }}" for key in ("path", "mode", "owner", "group")}
    copied = {("dest" if key == "path" else key): value for key, value in owned.items()}
    masked = {"name": "{{ item }}", "masked": True}
    enabled = {"name": "{{ item }}", "enabled": True}
    link = {"path": "{{ item.path }}", "src": "{{ item.target }}", "state": "link"}
    own_work = {
        **task("work of our own scripts", "command", "true", "other"),
        "changed_when": False,
    }
    return {
        "name": "the state our deploys keep",
        "hosts": "all",
        "become": True,
        "gather_facts": False,
        "tasks": [
            task("directories", "file", {**owned, "state": "directory"}, "directories"),
            task("files", "copy", {**copied, "src": "{{ item.src }}"}, "files"),
            task("links", "file", {**link, "force": True, "follow": False}, "links"),
            task("removed paths", "file", {"path": "{{ item }}", "state": "absent"}, "absent"),
            task("packages", "apt", {"name": "{{ packages }}", "install_recommends": False}),
            task("masked units", "systemd_service", masked, "masked"),
            task(
                "units",
                "systemd_service",
                {"name": "{{ item }}", "enabled": True, "state": "started"},
                "running",
            ),
            task("enabled units", "systemd_service", enabled, "enabled"),
            own_work,
        ],
    }


def _write(path: Path, data: Any) -> None:
    """JSON is YAML, which is what Ansible reads."""
    path.write_text(json.dumps(data, indent=1))
