"""How a Mac stands: launchd's jobs, Homebrew's packages, names and account, certificate."""

from collections.abc import Mapping, Sequence
from typing import Any

from pyinfra.api import FactBase, StringCommand

from deploys.script import NodeScript, decode


class _Asked(FactBase[dict[str, Any]]):
    """A fact that a script of `deploys/remote/` answers with one JSON object."""

    abstract = True

    @staticmethod
    def default() -> dict[str, Any]:
        return {}

    def process(self, output: list[str]) -> dict[str, Any]:
        state: dict[str, Any] = decode(output)
        return state


class LaunchdStates(_Asked):
    """Each job asked for; `current` compares the files it loaded with those on disk.

    ```
    {"network.example.exporter": {"loaded": True, "running": True, "current": True}}
    ```
    """

    abstract = False

    def command(self, jobs: Mapping[str, Sequence[str]]) -> StringCommand:
        argument = {"jobs": {label: list(files) for label, files in jobs.items()}}
        return NodeScript("launchd_state", argument, on_stdin=False)


class BrewState(_Asked):
    """`{"brew": "/opt/homebrew/bin/brew", "owner": "ann", "installed": ["node_exporter"]}`.

    `brew` is None where Homebrew is not installed.
    """

    abstract = False

    def command(self, packages: Sequence[str]) -> StringCommand:
        return NodeScript("brew_state", {"packages": list(packages)}, on_stdin=False)


class MacState(_Asked):
    """`{"names": {"HostName": "a", ...}, "account": True, "remote_login": True}`."""

    abstract = False

    def command(self, account: str) -> StringCommand:
        return NodeScript("mac_state", {"account": account}, on_stdin=False)


class MacCertificateState(_Asked):
    """`{"certificate": PEM or "", "authority": PEM or "", "key": "usable", "modes": {...}}`."""

    abstract = False

    def command(self, certificate: str, authority: str, key: str) -> StringCommand:
        argument = {"certificate": certificate, "authority": authority, "key": key}
        return NodeScript("mac_certificate_state", argument, on_stdin=False)
