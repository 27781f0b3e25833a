"""A machine that cannot run a lab hears everything at once, with what to do."""

import os
import platform
import shutil
from ipaddress import IPv4Address

import pytest

from inventory.model import Federation
from inventory.progress import Silent
from lab import requirements
from lab.errors import LabUnavailable


def test_another_system_is_told_to_use_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(LabUnavailable, match="Debian 12") as caught:
        requirements.check()
    assert caught.value.missing == ("Linux (this is Darwin)",)


def test_everything_missing_is_listed_with_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(LabUnavailable) as caught:
        requirements.check()
    text = str(caught.value)
    assert "systemd-nspawn" in text
    assert "riscv64" in text
    assert "run the command as root" in text
    assert "apt-get install iproute2 mmdebstrap" in caught.value.remedy


@pytest.mark.parametrize("servers", [(), (IPv4Address("127.0.0.53"),)])
def test_a_name_server_nodes_cannot_reach_is_refused(
    federation: Federation, servers: tuple[IPv4Address, ...]
) -> None:
    network = federation.network.model_copy(update={"dns_servers": servers})
    found = requirements.missing_requirements(federation.model_copy(update={"network": network}))
    assert any("name server" in missing.what for missing in found)


def test_nothing_is_installed_where_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_packages", list)
    assert requirements.install_requirements(Silent()) == ()


def test_without_root_installing_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabUnavailable, match="apt-get install"):
        requirements.install_requirements(Silent())
