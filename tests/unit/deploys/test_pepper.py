"""Tests of deploys/pepper.py: one pepper a federation, whoever asks first."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploys.pepper import CREDENTIAL, pepper_text
from inventory.home import Home
from trust.apikeys import Pepper
from trust.errors import InvalidPepper


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(root=tmp_path / "home", cache=tmp_path / "cache")


def test_it_is_made_once_and_private(home: Home) -> None:
    first = pepper_text(home)
    Pepper.parse(first)
    assert pepper_text(home) == first
    assert stat.S_IMODE((home.secrets / CREDENTIAL).stat().st_mode) == 0o600
    assert [path.name for path in home.secrets.iterdir()] == [CREDENTIAL]


def test_all_who_ask_at_once_get_the_same(home: Home) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: pepper_text(home), range(32)))) == 1


def test_a_damaged_pepper_is_never_replaced_quietly(home: Home) -> None:
    home.secrets.mkdir(parents=True)
    (home.secrets / CREDENTIAL).write_text("short")
    with pytest.raises(InvalidPepper):
        pepper_text(home)
