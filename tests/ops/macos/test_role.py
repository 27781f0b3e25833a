"""The macOS role against a simulated Mac. Nothing here was ever run on a real one."""

import hashlib
import plistlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploys.context import NodeContext
from deploys.errors import OperationFailed, TemplateError
from deploys.launchd import LaunchDaemon, plist
from deploys.roles.macos import ACCOUNT, KEY, SSHD, launch_daemons, macos
from inventory.model import Platform, Role, Ssh
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan


class Mac:
    """What a Mac has, in so far as the role asks for it."""

    def __init__(self) -> None:
        self.node = SimulatedNode(scripts=self._scripts())
        self.names: dict[str, str] = {}
        self.account = False
        self.brewed: list[str] = []
        self.tls = {"certificate": "", "authority": "", "key": "missing"}
        self.loaded: dict[str, dict[str, str]] = {}

    def _scripts(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "mac_state": lambda _: {"names": self.names, "account": self.account},
            "mac_apply": self._name,
            "brew_state": lambda given: {
                "brew": "/opt/homebrew/bin/brew",
                "owner": "admin",
                "installed": [name for name in given["packages"] if name in self.brewed],
            },
            "brew_install": lambda given: self.brewed.extend(given["packages"]),
            "checked_write": lambda given: self.node.play(
                "files_write",
                {"directories": [], "files": [given["file"]], "links": [], "absent": []},
            ),
            "mac_certificate_state": lambda _: dict(self.tls),
            "mac_certificate_request": self._request,
            "mac_certificate_install": self._install,
            "launchd_state": lambda given: {
                label: self._job(label, files) for label, files in given["jobs"].items()
            },
            "launchd_apply": self._load,
        }

    def _name(self, given: Any) -> None:
        self.names |= given["names"]
        self.account = self.account or given["account"] == ACCOUNT

    def _request(self, given: Any) -> Any:
        key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        pem = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return {"request": pem.decode()}

    def _install(self, given: Any) -> None:
        self.tls = {"key": "usable"}
        for name in ("certificate", "authority"):
            self.tls[name] = given[f"{name}_pem"]
            self.node.has_file(given[name], given[f"{name}_pem"])
        self.node.has_file(given["key"], f"a key of {given['certificate_pem']}")

    def _job(self, label: str, files: list[str]) -> dict[str, bool]:
        there = label in self.loaded
        current = there and self.loaded[label] == self._sums(files)
        return {"loaded": there, "running": there, "current": current}

    def _load(self, given: Any) -> None:
        for label, job in given["jobs"].items():
            self.loaded[label] = self._sums(job["files"])

    def _sums(self, files: list[str]) -> dict[str, str]:
        nothing = hashlib.sha256(b"").hexdigest()
        return {path: self.node.paths.get(path, {}).get("sha256", nothing) for path in files}


@pytest.fixture
def mac() -> Mac:
    return Mac()


def on_a_mac(home: Path, role: Role) -> NodeContext:
    """The context of the site's Mac with `role`."""
    where = context(home, file="federation.toml")
    macs = where.federation.on(Platform.MACOS)
    return replace(where, node=next(node for node in macs if node.has(role)))


def test_a_bare_worker_gets_everything_and_then_nothing(tmp_path: Path, mac: Mac) -> None:
    where = on_a_mac(tmp_path, Role.WORKER)
    name = where.node.name
    label = "internal.federation.node-exporter"
    assert plan(macos, where, mac.node)
    assert apply(macos, where, mac.node) == [
        f"set HostName {name}",
        f"set LocalHostName {name}",
        f"set ComputerName {name}",
        f"create account {ACCOUNT}",
        "install node_exporter",
        "create /etc/federation/",
        "create /etc/federation/tls/",
        "create /etc/federation/web/",
        "create /usr/local/lib/federation/",
        "create /var/log/federation/",
        "create /etc/hosts",
        "create /etc/federation/web/federation-node-exporter.yml",
        "create /usr/local/lib/federation/node_exporter",
        f"create /Library/LaunchDaemons/{label}.plist",
        f"create {SSHD}",
        "issue /etc/federation/tls/node.pem",
        "install certificate",
        f"bootstrap {label}",
    ]
    assert apply(macos, where, mac.node) == []
    assert plan(macos, where, mac.node) == {}


def test_the_operators_mac_renews_certificates_daily_besides(tmp_path: Path, mac: Mac) -> None:
    where = on_a_mac(tmp_path, Role.OPERATOR)
    apply(macos, where, mac.node)
    text = mac.node.text("/Library/LaunchDaemons/internal.federation.certs-renew.plist")
    job = plistlib.loads(text.encode())
    assert job["UserName"] == where.node.ssh.bootstrap_user
    assert job["ProgramArguments"][-1].endswith("fedctl certs renew --yes")
    assert set(job["StartCalendarInterval"]) == {"Hour", "Minute"}
    assert "KeepAlive" not in job
    assert apply(macos, where, mac.node) == []


def test_a_renewed_certificate_restarts_what_loaded_the_old_one(tmp_path: Path, mac: Mac) -> None:
    where = on_a_mac(tmp_path, Role.WORKER)
    apply(macos, where, mac.node)
    later = replace(where, now=where.now + timedelta(days=16))
    assert apply(macos, later, mac.node) == [
        "issue /etc/federation/tls/node.pem",
        "install certificate",
        "restart internal.federation.node-exporter",
    ]
    assert apply(macos, later, mac.node) == []


def test_an_interrupted_run_still_restarts_what_it_changed(tmp_path: Path, mac: Mac) -> None:
    where = on_a_mac(tmp_path, Role.WORKER)
    apply(macos, where, mac.node)
    mac.node.has_file(KEY, "another key, installed by a run that died before launchd")
    assert apply(macos, where, mac.node) == ["restart internal.federation.node-exporter"]


def test_the_hosts_file_keeps_what_macos_needs(tmp_path: Path, mac: Mac) -> None:
    where = on_a_mac(tmp_path, Role.WORKER)
    apply(macos, where, mac.node)
    hosts = mac.node.text("/etc/hosts")
    assert "255.255.255.255 broadcasthost" in hosts
    assert all(f"{node.address}" in hosts for node in where.federation.nodes)


def test_ssh_takes_keys_of_the_administrator_and_the_operator_only(
    tmp_path: Path, mac: Mac
) -> None:
    where = on_a_mac(tmp_path, Role.WORKER)
    apply(macos, where, mac.node)
    text = mac.node.text(SSHD)
    assert "AllowUsers admin fedop\n" in text
    assert "PasswordAuthentication no\n" in text


def test_a_mac_whose_administrator_is_root_is_refused_before_anything(
    tmp_path: Path, mac: Mac
) -> None:
    where = on_a_mac(tmp_path, Role.OPERATOR)
    where = replace(where, node=where.node.model_copy(update={"ssh": Ssh()}))
    with pytest.raises(OperationFailed, match="must name the Mac's administrator"):
        apply(macos, where, mac.node)
    assert mac.node.paths == {}


def test_property_lists_say_what_they_should(tmp_path: Path) -> None:
    [exporter] = launch_daemons(on_a_mac(tmp_path, Role.WORKER))
    job = plistlib.loads(plist(exporter))
    assert job["Label"] == "internal.federation.node-exporter"
    assert job["UserName"] == ACCOUNT
    assert job["KeepAlive"] is True
    assert job["Umask"] == 0o077
    assert plist(exporter) == plist(exporter)


@pytest.mark.parametrize(
    ("case", "label", "program"),
    [
        ("a label that is no reverse domain name", "exporter", "/bin/x"),
        ("a label with a space", "a.b c", "/bin/x"),
        ("a program that is not absolute", "a.b", "node_exporter"),
    ],
)
def test_launchd_would_not_take(case: str, label: str, program: str) -> None:
    with pytest.raises(TemplateError):
        plist(LaunchDaemon(label, (program,), "u", "/var/log/x"))
