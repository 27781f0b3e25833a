"""inventory/home.py: where the operator's state is, and that the identity is somewhere else."""

from pathlib import Path

import pytest

from inventory.home import CACHE_VARIABLE, HOME_VARIABLE, IDENTITY_VARIABLE, home_of


def test_the_identity_is_outside_the_state_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(IDENTITY_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "state"))
    home = home_of("six")
    assert home.root == tmp_path / "state" / "six"
    assert home.identity == tmp_path / "me" / ".config" / "federation-operator" / "six.agekey"
    assert home.age_passphrase is None


def test_both_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(IDENTITY_VARIABLE, str(tmp_path / "id"))
    monkeypatch.setenv("FEDERATION_AGE_PASSPHRASE_FILE", "/run/phrase")
    home = home_of("six")
    assert (home.identity, home.age_passphrase) == (tmp_path / "id", Path("/run/phrase"))
    assert home.key_folder is None
    monkeypatch.setenv("FEDERATION_KEY_FOLDER", "/Volumes/keys")
    assert home_of("six").key_folder == Path("/Volumes/keys")
