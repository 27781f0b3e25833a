"""What systemd says of units, as the script on the node reads it."""

import os
from pathlib import Path

import pytest

from deploys.remote import units_state

SYSTEMCTL = """#!/bin/sh
# systemctl show --property FIELDS -- UNIT...: one block a unit, in their order.
shift 4
for unit in "$@"; do
  echo "LoadState=loaded"
  grep -qx "$unit" {changed} && echo "NeedDaemonReload=yes" || echo "NeedDaemonReload=no"
  echo
done
"""


def test_a_timer_whose_service_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "changed"
    changed.write_text("b.service\n")
    (tmp_path / "systemctl").write_text(SYSTEMCTL.format(changed=changed))
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = units_state.main({"units": ["a.timer", "x.service", "b.timer"]})
    assert {name: state["reload_needed"] for name, state in found.items()} == {
        "a.timer": False,
        "x.service": False,
        "b.timer": True,
    }
