"""Reading dpkg's database."""

from pathlib import Path

import pytest

from deploys.remote import packages_state

STATUS = """Package: chrony
Status: install ok installed
Priority: optional
Version: 4.3-2

Package: sudo
Status: deinstall ok config-files
Version: 1.9

Package: sudo-ldap
Status: hold ok installed
Version: 1.9
"""


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "status").write_text(STATUS)
    (tmp_path / "updates").mkdir()
    monkeypatch.setattr(packages_state, "STATUS", str(tmp_path / "status"))
    monkeypatch.setattr(packages_state, "UPDATES", str(tmp_path / "updates"))
    return tmp_path


@pytest.mark.parametrize(
    ("names", "installed"),
    [
        (["chrony"], {"chrony": "4.3-2"}),
        (["sudo"], {}),
        (["chron", "hrony"], {}),
        (["chrony", "sudo-ldap"], {"chrony": "4.3-2", "sudo-ldap": "1.9"}),
    ],
)
def test_what_is_installed(database: Path, names: list[str], installed: dict[str, str]) -> None:
    assert packages_state.main({"packages": names}) == {
        "installed": installed,
        "interrupted": False,
    }


@pytest.mark.parametrize("state", ["unpacked", "half-configured", "triggers-pending"])
def test_a_package_that_is_not_configured_yet(database: Path, state: str) -> None:
    other = f"\nPackage: other\nStatus: install ok {state}\nVersion: 1\n"
    (database / "status").write_text(STATUS + other)
    assert packages_state.main({"packages": ["chrony"]})["interrupted"]


def test_an_interrupted_dpkg_leaves_updates(database: Path) -> None:
    (database / "updates" / "0001").touch()
    assert packages_state.main({"packages": ["chrony"]})["interrupted"]


def test_a_machine_without_dpkg_has_nothing(database: Path) -> None:
    (database / "status").unlink()
    assert packages_state.main({"packages": ["chrony"]}) == {"installed": {}, "interrupted": False}
