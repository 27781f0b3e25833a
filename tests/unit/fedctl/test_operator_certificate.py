"""Certificates of further operators: handed out, used elsewhere, and never for a stranger."""

import shutil
from pathlib import Path

import pytest

from deploys.authority import authority_of, operator_pair
from fedctl.errors import FedctlError
from fedctl.operator_certificate import hand_out
from inventory.home import Home
from inventory.load import load
from tests.unit.fedctl.fakes import LAB, NOW
from trust import certificate
from trust.errors import TrustError

FEDERATION = load(LAB).model_copy(update={"operators": ("bea",)})


def home_at(folder: Path, operator: str = "") -> Home:
    return Home(folder / "home", folder / "cache", operator=operator)


def test_what_is_handed_out_works_on_a_machine_without_the_authority(tmp_path: Path) -> None:
    first, other = home_at(tmp_path / "first"), home_at(tmp_path / "other", "bea")
    authority_of(FEDERATION, first, NOW)
    with pytest.raises(TrustError):
        operator_pair(other, NOW)
    written = hand_out(FEDERATION, first, "bea", other.authority, NOW)
    assert [path.name for path in written] == ["operator.bea.key", "operator.bea.pem", "ca.pem"]
    assert written[0].stat().st_mode & 0o777 == 0o600
    given = [path.read_bytes() for path in written[:2]]
    for _ in range(2):  # as it was handed out, then out of the store
        assert [path.read_bytes() for path in operator_pair(other, NOW)] == given
        assert not written[0].exists()
    for path in hand_out(FEDERATION, first, "bea", tmp_path / "again", NOW):
        shutil.move(path, other.authority / path.name)
    renewed = written[1].read_bytes()
    for _ in range(2):
        key, pem = operator_pair(other, NOW)
        assert key.read_bytes() != given[0] and pem.read_bytes() == renewed
        assert not written[0].exists()
    assert certificate.describe(written[1].read_bytes()).common_name == "operator.bea"
    _, pem = operator_pair(first, NOW)
    assert certificate.describe(pem.read_bytes()).common_name == "operator"


def test_where_the_authority_is_either_operator_has_a_certificate(tmp_path: Path) -> None:
    home = home_at(tmp_path, "bea")
    authority_of(FEDERATION, home, NOW)
    _, pem = operator_pair(home, NOW)
    assert certificate.describe(pem.read_bytes()).common_name == "operator.bea"


def test_nobody_gets_one_whom_the_inventory_does_not_name(tmp_path: Path) -> None:
    home = home_at(tmp_path)
    authority_of(FEDERATION, home, NOW)
    with pytest.raises(FedctlError, match="operators are bea, not 'eve'"):
        hand_out(FEDERATION, home, "eve", tmp_path / "to", NOW)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(FedctlError, match="is not empty"):
        hand_out(FEDERATION, home, "bea", tmp_path / "full", NOW)
