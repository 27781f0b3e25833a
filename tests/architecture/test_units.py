"""Every unit obeys the contract of DESIGN section 4, and no two roles fight over a file."""

import importlib.util
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from tests.architecture.rendered import Rendered, rendered

SYSTEMD = Path(__file__).parents[2] / "systemd"
SERVICES = sorted(path.name for path in SYSTEMD.glob("*.service"))
TIMERS = sorted(path.name for path in SYSTEMD.glob("*.timer"))
# For the operator's own computer, where no role of ours goes; see its first lines.
OPERATORS = {"federation-cert-renew.service"}
EXPOSURE_LIMIT, ENGINE_EXPOSURE_LIMIT = 2.5, 4.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Rendered]:
    return rendered(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def units(files: list[Rendered], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Our service units as some node gets them, in the lab or at a site."""
    site = rendered(tmp_path_factory.mktemp("site"), "federation.toml")
    return {
        Path(file.path).name: file.text
        for file in (*site, *files)
        if re.fullmatch(r"/etc/systemd/system/federation-[^/]+\.service", file.path)
    }


def settings(text: str) -> dict[str, str]:
    """The unit's settings; as in systemd, the last one of a name wins."""
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line for line in joined.splitlines() if line and not line.startswith(("#", ";"))]
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_no_two_roles_manage_one_path(files: list[Rendered]) -> None:
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file in files:
        owners[file.node, file.path].add(file.role)
    assert {place: roles for place, roles in owners.items() if len(roles) > 1} == {}


def test_every_unit_in_systemd_is_put_on_some_node(units: dict[str, str]) -> None:
    assert set(SERVICES) - OPERATORS == set(units)


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_opens_by_saying_what_it_is(name: str) -> None:
    text = (SYSTEMD / name).read_text()
    assert text.startswith("# ")
    assert re.search(r"^Description=.+$", text, re.MULTILINE)


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_names_a_program_of_ours_that_exists(name: str) -> None:
    text = (SYSTEMD / name).read_text()
    for module in re.findall(r"^ExecStart=.* -m ([a-z_.]+)", text, re.MULTILINE):
        ours = module.split(".")[0] in ("gateway", "daemons", "ledger", "council")
        assert not ours or importlib.util.find_spec(module), f"{name} starts {module}"


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_has_a_user_and_our_sandbox(name: str) -> None:
    text = (SYSTEMD / name).read_text()
    assert '{% include "sandbox.conf" %}' in text
    found = settings(text)
    assert found.get("User", "") not in ("", "root") or found.get("DynamicUser") == "yes"


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OPERATORS])
def test_a_daemon_restarts_is_watched_and_says_what_it_loaded(name: str) -> None:
    text = (SYSTEMD / name).read_text()
    found = settings(text)
    if found["Type"] == "oneshot":
        return
    assert found["Restart"] == "on-failure"
    assert int(found["StartLimitBurst"]) > 0
    assert "/usr/local/lib/federation/loaded %n" in text
    watched = found["Type"] == "notify" and "WatchdogSec" in found
    assert watched or re.search(r"^#.*(notify|watchdog)", text, re.MULTILINE | re.IGNORECASE), (
        "without notify and watchdog, a comment says why"
    )


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_in_a_unit(name: str) -> None:
    text = (SYSTEMD / name).read_text()
    assert not re.search(r"(?i)^Environment=.*(secret|password|pepper|token)=", text, re.MULTILINE)
    assert not re.search(r"^SetCredential=", text, re.MULTILINE)
    assert not re.search(r"^LoadCredential=.*(key|pepper)", text, re.MULTILINE)


@pytest.mark.parametrize("name", TIMERS)
def test_a_timer_catches_up_and_has_its_service(name: str) -> None:
    assert "Persistent=true" in (SYSTEMD / name).read_text()
    assert (SYSTEMD / name).with_suffix(".service").exists()


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OPERATORS])
def test_exposure_is_low_as_systemd_counts_it(
    name: str, units: dict[str, str], tmp_path: Path
) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / name
    path.write_text(units[name])
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    shown = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    if not shown:
        pytest.skip(f"this systemd-analyze cannot look at a file: {done.stderr[:200]}")
    limit = ENGINE_EXPOSURE_LIMIT if "inference" in name else EXPOSURE_LIMIT
    assert float(shown.group(1)) <= limit, done.stdout
