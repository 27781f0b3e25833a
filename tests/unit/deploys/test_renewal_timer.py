"""deploys/renewal_timer.py: units that systemd and launchd accept."""

import plistlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from deploys.errors import DeployError
from deploys.renewal_timer import UNIT, Job, launchd_files, systemd_files
from inventory.home import Home

JOB = Job(
    user="root",
    fedctl=Path("/bin/true"),
    inventory=Path("/srv/federation.toml"),
    home=Home(root=Path("/var/lib/operator/site"), cache=Path("/var/cache/operator")),
)


def test_the_service_renews_the_inventory_it_was_written_for() -> None:
    text = systemd_files(JOB)[f"{UNIT}.service"]
    assert "ExecStart=/bin/true certs renew --yes\n" in text
    assert "FEDERATION_INVENTORY=/srv/federation.toml\n" in text
    assert "ReadWritePaths=/var/lib/operator /var/cache/operator\n" in text


def test_the_service_opens_the_same_store() -> None:
    text = systemd_files(JOB)[f"{UNIT}.service"]
    assert "FEDERATION_AGE_IDENTITY=/var/lib/operator/site.agekey\n" in text
    assert "PASSPHRASE" not in text
    protected = replace(JOB, home=replace(JOB.home, age_passphrase=Path("/run/phrase")))
    text = systemd_files(protected)[f"{UNIT}.service"]
    assert "FEDERATION_AGE_PASSPHRASE_FILE=/run/phrase\n" in text
    (mac,) = launchd_files(protected).values()
    agent = plistlib.loads(mac.encode())["EnvironmentVariables"]
    assert agent["FEDERATION_AGE_PASSPHRASE_FILE"] == "/run/phrase"
    assert "FEDERATION_KEY_FOLDER" not in agent
    with_folder = replace(JOB, home=replace(JOB.home, key_folder=Path("/Volumes/keys")))
    (mac,) = launchd_files(with_folder).values()
    agent = plistlib.loads(mac.encode())["EnvironmentVariables"]
    assert agent["FEDERATION_KEY_FOLDER"] == "/Volumes/keys"


def test_the_timer_is_daily_and_catches_up() -> None:
    text = systemd_files(JOB)[f"{UNIT}.timer"]
    assert "OnCalendar=daily\n" in text
    assert "Persistent=true\n" in text


def test_systemd_accepts_both(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for name, text in systemd_files(JOB).items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert UNIT not in done.stderr, done.stderr


def test_a_mac_runs_the_same_command_daily() -> None:
    (text,) = launchd_files(JOB).values()
    agent = plistlib.loads(text.encode())
    assert agent["ProgramArguments"] == ["/bin/true", "certs", "renew", "--yes"]
    assert agent["EnvironmentVariables"]["FEDERATION_INVENTORY"] == "/srv/federation.toml"
    assert set(agent["StartCalendarInterval"]) == {"Hour", "Minute"}


@pytest.mark.parametrize("path", ["/a b/fedctl", "/a/%h", "/a\nUser=root"])
def test_a_path_a_unit_cannot_spell_is_refused(path: str) -> None:
    with pytest.raises(DeployError, match="fedctl"):
        systemd_files(replace(JOB, fedctl=Path(path)))
