"""Configuration files: what is refused, how it is said, and where credentials are found."""

from pathlib import Path

import pytest

from inventory.config import (
    CREDENTIALS,
    ConfigInvalid,
    ConfigMissing,
    ConfigPath,
    CredentialsMissing,
    Settings,
    resolve,
)


class Sample(Settings):
    port: int
    key: ConfigPath = CREDENTIALS / "tls.key"


def test_a_file_becomes_one_frozen_object(tmp_path: Path) -> None:
    path = tmp_path / "sample.toml"
    path.write_text("port = 7\n")
    assert Sample.read(path) == Sample(port=7)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigMissing, match=r"absent\.toml"):
        Sample.read(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = ", "not TOML"),
        ("port = 'x'\n", "port = 'x'"),
        ("port = 1\nprot = 2\n", "prot = 2"),
        ("", r"port = \(missing\)"),
        ("port = 1\nkey = 'relative/path'\n", "must be absolute"),
        ("port = 1\nkey = '/etc/../x'\n", "must not contain"),
    ],
)
def test_a_wrong_file_is_refused_with_field_value_and_expectation(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "sample.toml"
    path.write_text(text)
    with pytest.raises(ConfigInvalid, match=said):
        Sample.read(path)


def test_a_huge_file_is_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "sample.toml"
    path.write_text("#" * ((1 << 20) + 1))
    with pytest.raises(ConfigInvalid, match="at most 1 MiB"):
        Sample.read(path)


def test_the_environment_overrides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9")
    assert Sample.parse({"port": 7}).port == 7


def test_credentials_are_found_where_systemd_put_them() -> None:
    found = resolve(CREDENTIALS / "tls.key", {"CREDENTIALS_DIRECTORY": "/run/credentials/u"})
    assert found == Path("/run/credentials/u/tls.key")
    assert resolve(Path("/etc/x"), {}) == Path("/etc/x")
    with pytest.raises(CredentialsMissing, match="LoadCredential"):
        resolve(CREDENTIALS / "tls.key", {})
