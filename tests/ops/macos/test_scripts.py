"""The Mac's scripts, as far as they run here: openssl for real, launchd and dscl by stand-ins."""

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploys.remote import (
    brew_state,
    checked_write,
    launchd_apply,
    launchd_state,
    mac_apply,
    mac_certificate_install,
    mac_certificate_request,
    mac_certificate_state,
)
from tests.ops.contexts import NOW
from trust.authority import Authority


def test_a_key_is_made_certified_and_recognised(tmp_path: Path) -> None:
    paths = {name: str(tmp_path / f"tls/{name}") for name in ("certificate", "authority", "key")}
    given = {**paths, "common_name": "n1", "group": "root"}
    assert mac_certificate_state.main(paths)["key"] == "missing"
    request = mac_certificate_request.main(given)["request"]
    authority = Authority.create(tmp_path / "ca", "test authority", NOW)
    certificate = authority.sign(request.encode(), ("n1",), (), NOW)
    pems = {"certificate_pem": certificate.decode(), "authority_pem": authority.ca_pem.decode()}
    mac_certificate_install.main({**given, **pems})
    state = mac_certificate_state.main(paths)
    assert state["key"] == "usable"
    assert state["certificate"].encode() == certificate
    assert stat.S_IMODE(Path(paths["key"]).stat().st_mode) == 0o640
    assert not Path(paths["key"] + ".new").exists()
    mac_certificate_request.main(given)
    Path(paths["key"] + ".new").rename(paths["key"])
    assert mac_certificate_state.main(paths)["key"] == "foreign"


def test_a_refused_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "d" / "000-x.conf"
    item = {"path": str(path), "mode": 0o644, "owner": "root", "group": "root"}
    file = {**item, "content": "YQo="}
    with pytest.raises(SystemExit, match="was refused by false"):
        checked_write.main({"file": file, "check": ["false", "{}"]})
    assert list(path.parent.iterdir()) == []
    checked_write.main({"file": file, "check": ["grep", "-q", "a", "{}"]})
    assert path.read_text() == "a\n"
    assert [found.name for found in path.parent.iterdir()] == ["000-x.conf"]


def test_a_machine_without_launchd_or_homebrew_has_nothing() -> None:
    assert launchd_state.main({"jobs": {"a.b": []}}) == {
        "a.b": {"loaded": False, "running": False, "current": False}
    }
    assert brew_state.main({"packages": ["x"]})["installed"] == []


class Commands:
    """Stands for subprocess.run of a Mac: remembers what was run, answers by program and verb."""

    def __init__(self) -> None:
        self.run: list[str] = []
        self.loaded = True

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        self.run.append(" ".join(command))
        out, code = b"", 0
        if command[:2] == ["launchctl", "bootout"]:
            self.loaded = False
        elif command[:2] == ["launchctl", "bootstrap"]:
            self.loaded = True
        elif command[:2] == ["launchctl", "print"]:
            code, out = (0, b"\tstate = running\n") if self.loaded else (113, b"")
        elif command[:3] == ["dscl", ".", "-list"]:
            out = b"_a  350\n_b  -2\nnobody  351\n"
        return subprocess.CompletedProcess(command, code, out, b"")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    found = Commands()
    monkeypatch.setattr(subprocess, "run", found)
    return found


def test_a_loaded_job_is_booted_out_before_it_is_bootstrapped_again(
    tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchd_apply, "RECORDS", str(tmp_path / "records"))
    monkeypatch.setattr(launchd_state, "RECORDS", str(tmp_path / "records"))
    plist = tmp_path / "a.b.plist"
    plist.write_text("x")
    job = {"plist": str(plist), "files": [str(plist), "/absent"], "runs": True}
    launchd_apply.main({"jobs": {"a.b": job}})
    done = [line for line in commands.run if not line.startswith("launchctl print")]
    assert done == [
        f"plutil -lint {plist}",
        "launchctl bootout system/a.b",
        "launchctl enable system/a.b",
        f"launchctl bootstrap system {plist}",
    ]
    jobs = {"jobs": {"a.b": job["files"]}}
    assert launchd_state.main(jobs)["a.b"] == {"loaded": True, "running": True, "current": True}
    plist.write_text("y")
    assert not launchd_state.main(jobs)["a.b"]["current"]


def test_an_account_gets_a_free_id_and_no_way_in(commands: Commands) -> None:
    mac_apply.main({"names": {"HostName": "n1"}, "account": "_x"})
    assert "scutil --set HostName n1" in commands.run
    assert "dscl . -create /Users/_x UniqueID 352" in commands.run
    assert "dscl . -create /Users/_x UserShell /usr/bin/false" in commands.run
