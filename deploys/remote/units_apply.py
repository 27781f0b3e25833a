"""Bring systemd units where they should be, in order, and show the journal of one that fails.

Argument: {"daemon_reload": BOOL, "mask": [...], "unmask": [...], "enable": [...], "disable": [...],
"stop": [...], "start": [[VERB, UNIT], ...], "settle_seconds": N, "timeout_seconds": N}. VERB is
start, restart or reload. A service must still be active `settle_seconds` after it started, unless
systemd knows when it is ready: one that dies at once is a failure now, not a surprise later.
"""

import subprocess
import time
from typing import Any, NoReturn


def main(argument: Any) -> None:
    timeout = argument["timeout_seconds"]
    for unit in argument["unmask"]:
        systemctl("unmask", unit, timeout)
    for unit in argument["mask"]:
        subprocess.run(["systemctl", "stop", unit], stderr=subprocess.DEVNULL, check=False)
        systemctl("mask", unit, timeout)
    if argument["daemon_reload"]:
        run(["systemctl", "daemon-reload"], timeout, "systemd did not read its units again")
    for unit in argument["disable"]:
        systemctl("disable", unit, timeout)
    for unit in argument["stop"]:
        systemctl("stop", unit, timeout)
    for unit in argument["enable"]:
        systemctl("enable", unit, timeout)
    for verb, unit in argument["start"]:
        # A unit that gave up after its start limit would refuse to be started again.
        subprocess.run(["systemctl", "reset-failed", unit], stderr=subprocess.DEVNULL, check=False)
        systemctl(verb, unit, timeout)
    settled([unit for _, unit in argument["start"]], argument["settle_seconds"])


def settled(units: Any, seconds: float) -> None:
    services = [unit for unit in units if unit.endswith(".service")]
    # Of these types systemd knows no more than that the program was started.
    if any(shown(unit)["Type"] in ("simple", "exec", "idle") for unit in services):
        time.sleep(seconds)
    for unit in services:
        state = shown(unit)
        once = state["Type"] == "oneshot" and state["ActiveState"] == "inactive"
        if state["ActiveState"] not in ("active", "reloading") and not once:
            fail(unit, f"is {state['ActiveState']} ({state['SubState']}) right after its start")


def shown(unit: str) -> Any:
    command = ["systemctl", "show", "--property=ActiveState,SubState,Type", "--", unit]
    text = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def systemctl(verb: str, unit: str, timeout: int) -> None:
    run(["systemctl", verb, "--", unit], timeout, f"systemctl {verb} failed", unit)


def run(command: Any, timeout: int, what: str, unit: Any = None) -> None:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        fail(unit, f"{what}: not done after {timeout} s")
    if done.returncode != 0:
        fail(unit, f"{what}: {done.stdout.decode(errors='replace').strip()}")


def fail(unit: Any, message: str) -> NoReturn:
    if unit is None:
        raise SystemExit(message)
    journal = subprocess.run(
        ["journalctl", "--unit", unit, "--lines", "20", "--no-pager", "--output", "cat"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    ).stdout.decode(errors="replace")  # fmt: skip
    raise SystemExit(f"{unit}: {message}\nlast lines of its journal:\n{journal}")
