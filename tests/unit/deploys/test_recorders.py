"""The shell scripts that remember what was loaded, and the scripts that read their records."""

import os
import subprocess
from pathlib import Path

import pytest

from deploys.remote import firewall_state, machine_state, units_state
from deploys.templates import render

NFT = """#!/bin/sh
# nft ... list table inet federation: prints the file beside it, or fails.
[ -e {listing} ] || exit 1
cat {listing}
"""


def test_what_loaded_writes_is_what_the_units_fact_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, records = tmp_path / "loaded", tmp_path / "records"
    script.write_text(render("loaded", folder=records))
    present, missing = tmp_path / "a file", tmp_path / "later"
    present.write_text("old")
    subprocess.run(["sh", script, "x.service", present, missing], check=True)
    monkeypatch.setattr(units_state, "RECORDS", str(records))
    assert not units_state.stale("x.service")
    missing.write_text("it is here now")
    assert units_state.stale("x.service")
    missing.unlink()
    present.write_text("new")
    assert units_state.stale("x.service")
    assert units_state.stale("never-started.service")


@pytest.fixture
def firewall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "nft").write_text(NFT.format(listing=tmp_path / "listing"))
    (tools / "nft").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    (tmp_path / "rules").write_text("rules")
    return {
        "path": str(tmp_path / "rules"),
        "table": "inet federation",
        "record": str(tmp_path / "run" / "firewall"),
    }


def record(firewall: dict[str, str], tmp_path: Path) -> None:
    text = render("firewall-loaded", folder=tmp_path / "run", **firewall)
    subprocess.run(["sh", "-c", text], check=True)


def test_a_firewall_is_known_to_be_loaded_changed_older_or_missing(
    firewall: dict[str, str], tmp_path: Path
) -> None:
    assert firewall_state.main(firewall) == {"state": "missing"}
    (tmp_path / "listing").write_text("as loaded")
    assert firewall_state.main(firewall) == {"state": "changed"}, "nobody recorded that load"
    record(firewall, tmp_path)
    assert firewall_state.main(firewall) == {"state": "loaded"}
    (tmp_path / "listing").write_text("with a rule by hand")
    assert firewall_state.main(firewall) == {"state": "changed"}
    record(firewall, tmp_path)
    (tmp_path / "rules").write_text("newer rules")
    assert firewall_state.main(firewall) == {"state": "older"}
    (tmp_path / "listing").unlink()
    assert firewall_state.main(firewall) == {"state": "missing"}


def test_a_kernel_setting_that_is_missing_is_left_out() -> None:
    assert machine_state.setting("no.such.key") is None
    assert machine_state.setting("../../etc/passwd") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="reads /etc/shadow")
def test_an_account_without_a_password_counts_as_locked() -> None:
    assert machine_state.locked(["daemon", "nobody"]) == ["daemon", "nobody"]
