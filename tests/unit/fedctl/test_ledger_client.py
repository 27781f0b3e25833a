"""What the ledger's client says before there is anything to talk to."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedctl.exits import ending_of
from fedctl.ledger_client import Ledger
from inventory.home import Home
from inventory.load import load
from tests.unit.fedctl.fakes import LAB
from trust.errors import AuthorityMissing

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_before_the_first_deploy_the_advice_is_to_deploy(tmp_path: Path) -> None:
    home = Home(root=tmp_path, cache=tmp_path / "cache")
    with pytest.raises(AuthorityMissing) as raised:
        Ledger(load(LAB), home, lambda: NOW).list_keys()
    assert "fedctl up" in ending_of(raised.value).advice
    assert not list(tmp_path.iterdir()), "looking must not make an authority"
