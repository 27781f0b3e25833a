"""`make bench-deploy`: a no-op apply of every role on six nodes, beside Ansible.

Both keep the same state of a provisioned federation (`make up`). Rounds alternate, so that both
meet the same noise; the table shows medians and the ratio. The floor is what any tool pays that
logs in to every node: one SSH connection each, all at once, running one command.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from inventory.home import Home, home_of
from inventory.load import load
from inventory.model import Federation
from tests.bench import ansible_peer
from tests.bench.desired import Desired, desired, on_node
from tests.bench.machine import machine

ROUNDS = 3
FEDCTL = Path(sys.executable).parent / "fedctl"
RESULT = Path(__file__).parents[2] / "docs" / "benchmarks" / "deploy.md"


def main() -> int:
    """Measure, print the table, save it."""
    federation = load()
    home = home_of(federation.name)
    require_converged()
    wanted = desired(federation, home)
    with tempfile.TemporaryDirectory(prefix="federation-bench-") as folder:
        project = Path(folder)
        ansible_peer.write_project(project, federation, home, wanted)
        first = ansible_peer.run(project)
        if first.changed:
            say(
                f"note: Ansible changed {first.changed} things on its first run, then must be quiet"
            )
        times = measured(federation, home, project)
    text = table(federation, wanted, times)
    sys.stdout.write(text)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(text)
    return 0


def require_converged() -> None:
    """Stop unless an apply would change nothing."""
    plan = subprocess.run([str(FEDCTL), "plan"], capture_output=True, text=True, check=False)
    if plan.returncode != 0:
        raise SystemExit(f"make up first: `fedctl plan` exits {plan.returncode}\n{plan.stderr}")


def measured(federation: Federation, home: Home, project: Path) -> dict[str, list[float]]:
    """Seconds of each round, by contestant."""
    contestants: dict[str, Callable[[], None]] = {
        "floor": lambda: log_in(federation, home),
        "deploys": lambda: quietly([sys.executable, "-m", "deploys.run", "apply"]),
        "fedctl": lambda: quietly([str(FEDCTL), "apply", "--yes"]),
        "ansible": lambda: no_change(project),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(ROUNDS):
        for name, contestant in contestants.items():
            begun = time.perf_counter()
            contestant()
            times[name].append(time.perf_counter() - begun)
            say(f"round {number + 1}/{ROUNDS} {name}: {times[name][-1]:.2f} s")
    return times


def log_in(federation: Federation, home: Home) -> None:
    """One SSH connection to every node at once."""
    with ThreadPoolExecutor(len(federation.nodes)) as pool:
        answers = pool.map(
            lambda node: on_node(federation, home, node, "echo here"), federation.nodes
        )
        if any(answer != b"here\n" for answer in answers):
            raise SystemExit("a node does not answer SSH")


def quietly(command: list[str]) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, capture_output=True)


def no_change(project: Path) -> None:
    """One Ansible run, which must find nothing to do."""
    done = ansible_peer.run(project)
    if done.changed:
        raise SystemExit(f"Ansible changed {done.changed} things in a no-op run")


def table(federation: Federation, wanted: dict[str, Desired], times: dict[str, list[float]]) -> str:
    """The result as a page of Markdown."""
    titles = {
        "floor": "floor: six SSH logins running one command",
        "deploys": "`python -m deploys.run apply`",
        "fedctl": "`fedctl apply` (lock, run log and event included)",
        "ansible": f"Ansible {version('ansible-core')} through ansible-runner, pipelining, 6 forks",
    }
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    rows = "\n".join(
        f"| {titles[name]} | {medians[name]:.2f} | {min(times[name]):.2f} | {max(times[name]):.2f} "
        f"| {medians['ansible'] / medians[name]:.1f} |"
        for name in titles
    )
    files = sum(len(one.files) for one in wanted.values())
    units = sum(len(one.running) for one in wanted.values())
    return f"""# A no-op apply of every role

`make bench-deploy`, {datetime.now(UTC):%Y-%m-%d}, {machine()}, {os.cpu_count()} cores:
{len(federation.nodes)} nodes on one computer, {ROUNDS} rounds in turn, seconds.
Both tools keep the same {files} files and {units} running units, and both find nothing to change.
Ansible has a loop item for each; our deploys ask about all of a role's files at once.

| | median | best | worst | times faster than Ansible |
|---|---|---|---|---|
{rows}
"""


def say(text: str) -> None:
    """One line for the person who waits."""
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
