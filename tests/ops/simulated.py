"""A Debian node in memory, which plays the scripts of `deploys/remote/`: deploys run against it.

It implements the same interface as a node (a script's name and argument in, a JSON value out) and
changes as a node would, which is what makes "apply twice, the second time nothing" testable.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Script = Callable[[Any], Any]


@dataclass
class SimulatedNode:
    """What is on the node. `scripts` adds or replaces scripts by name (a role's own facts)."""

    paths: dict[str, dict[str, Any]] = field(default_factory=dict)
    units: dict[str, dict[str, Any]] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    interrupted_dpkg: bool = False
    scripts: dict[str, Script] = field(default_factory=dict)

    def play(self, name: str, argument: Any) -> Any:
        """What the script `name` returns when given `argument`, with its effects on this node."""
        own = {
            "files_state": self._files_state,
            "files_write": self._files_write,
            "units_state": self._units_state,
            "units_apply": self._units_apply,
            "packages_state": self._packages_state,
            "packages_install": self._packages_install,
            "guard_state": self._guard_state,
            "guard_apply": self._guard_apply,
        }
        script: Script | None = {**own, **self.scripts}.get(name)
        if script is None:
            raise AssertionError(f"nobody plays the script {name!r}: give SimulatedNode scripts=")
        return script(argument)

    def has_file(self, path: str, content: str | bytes, **attributes: Any) -> None:
        """Put a file there, as root:root 0644 unless `attributes` say otherwise."""
        data = content.encode() if isinstance(content, str) else content
        self.paths[path] = {
            "kind": "file",
            "mode": 0o644,
            "owner": "root",
            "group": "root",
            "data": data,
            "sha256": hashlib.sha256(data).hexdigest(),
            **attributes,
        }

    def text(self, path: str) -> str:
        """The content of a file that is there."""
        data: bytes = self.paths[path]["data"]
        return data.decode()

    def has_unit(self, name: str, **attributes: Any) -> None:
        """Have a unit there: installed, enabled and running unless `attributes` say otherwise."""
        self.units[name] = {
            "load": "loaded",
            "active": "active",
            "sub": "running",
            "file": "enabled",
            "reload_needed": False,
            "restart_needed": False,
            **attributes,
        }

    def _files_state(self, argument: Mapping[str, Any]) -> Any:
        return {path: self._path(path, argument) for path in argument["paths"]}

    def _path(self, path: str, argument: Mapping[str, Any]) -> Any:
        found = dict(self.paths.get(path, {"kind": "absent"}))
        data = found.pop("data", b"")
        differs = found.get("sha256") != argument["wanted"].get(path)
        if found["kind"] == "file" and differs and path not in argument["secret"]:
            found["content"] = base64.b64encode(data).decode()
        return found

    def _files_write(self, argument: Mapping[str, Any]) -> Any:
        for item in argument["directories"]:
            attributes = {name: item[name] for name in ("mode", "owner", "group")}
            self.paths[item["path"]] = {"kind": "directory", **attributes}
        for item in argument["files"]:
            attributes = {name: item[name] for name in ("mode", "owner", "group")}
            self.has_file(item["path"], base64.b64decode(item["content"]), **attributes)
        for item in argument["links"]:
            self.paths[item["path"]] = {"kind": "link", "target": item["target"]}
        for path in argument["absent"]:
            self.paths.pop(path, None)

    def _units_state(self, argument: Mapping[str, Any]) -> Any:
        unknown = {"load": "not-found", "active": "inactive", "sub": "dead", "file": ""}
        flags = {"reload_needed": False, "restart_needed": False}
        return {name: self.units.get(name, {**unknown, **flags}) for name in argument["units"]}

    def _units_apply(self, argument: Mapping[str, Any]) -> Any:
        for unit in argument["mask"]:
            self.has_unit(unit, load="masked", active="inactive", sub="dead", file="masked")
        for unit in argument["enable"]:
            stopped = {"active": "inactive", "sub": "dead"}
            self.has_unit(unit, **self.units.get(unit, stopped) | {"file": "enabled"})
        for unit in argument["disable"]:
            self.units[unit]["file"] = "disabled"
        for unit in argument["stop"]:
            self.units[unit] |= {"active": "inactive", "sub": "dead"}
        for _, unit in argument["start"]:
            old_file = self.units.get(unit, {}).get("file", "enabled")
            self.has_unit(unit, file=old_file)
        if argument["daemon_reload"]:
            for state in self.units.values():
                state["reload_needed"] = False

    def _packages_state(self, argument: Mapping[str, Any]) -> Any:
        wanted = argument["packages"]
        installed = {name: self.packages[name] for name in wanted if name in self.packages}
        return {"installed": installed, "interrupted": self.interrupted_dpkg}

    def _packages_install(self, argument: Mapping[str, Any]) -> Any:
        self.packages.update(dict.fromkeys(argument["packages"], "1.0"))
        self.interrupted_dpkg = False

    def _guard_state(self, argument: Mapping[str, Any]) -> Any:
        return {**self._files_state(argument), "": {"kind": "absent"}}

    def _guard_apply(self, argument: Mapping[str, Any]) -> Any:
        self._files_write({"directories": [], "links": [], "absent": [], **argument})
