"""The scripts that make and keep a node's key: real openssl, systemd-creds played by a file.

The stand-in for systemd-creds encodes instead of encrypting, and refuses another name, as the real
one does; encrypting for real would leave a secret on the computer that runs the tests.
"""

import hashlib
import os
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from deploys.remote import certificate_install, certificate_request, certificate_state
from trust.authority import Authority

CREDS = r"""#!/bin/sh
# systemd-creds [encrypt|decrypt] --name=NAME ... - or FILE
verb=$1; name=; file=-
for word in "$@"; do case $word in --name=*) name=${word#--name=};; /*) file=$word;; esac; done
case $verb in
encrypt) { echo "$name"; base64; } ;;
decrypt) [ "$(head -n 1 "$file")" = "$name" ] || exit 1; tail -n +2 "$file" | base64 -d ;;
esac
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files get owned by root")


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "systemd-creds").write_text(CREDS)
    (tools / "systemd-creds").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(certificate_state, "RECORDS", str(tmp_path / "loaded"))
    return {
        "certificate": str(tmp_path / "tls" / "node.pem"),
        "authority": str(tmp_path / "tls" / "ca.pem"),
        "key": str(tmp_path / "credentials" / "tls.key"),
    }


def renew(paths: dict[str, str], folder: Path) -> None:
    """What the operation does: request, sign, install."""
    now = datetime.now(UTC)
    request = certificate_request.main({"key": paths["key"], "common_name": "a"})["request"]
    authority = Authority.create(folder / "authority", "test authority", now)
    signed = authority.sign(request.encode(), ["a"], [IPv4Address("192.0.2.1")], now)
    certificate_install.main(
        {
            **paths,
            "certificate_pem": signed.decode(),
            "authority_pem": authority.ca_pem.decode(),
            "new_key": True,
        }
    )


def test_a_bare_node_has_nothing(paths: dict[str, str]) -> None:
    assert certificate_state.main(paths) == {
        "certificate": "",
        "authority": "",
        "key": "missing",
        "modes": dict.fromkeys(paths.values(), ""),
        "serving": [],
        "stale": [],
    }


def test_key_and_certificate_belong_together_after_each_renewal(
    paths: dict[str, str], tmp_path: Path
) -> None:
    for _ in range(2):
        renew(paths, tmp_path)
        state = certificate_state.main(paths)
        assert state["key"] == "usable"
        assert state["modes"] == {
            paths["certificate"]: "0644 root:root",
            paths["authority"]: "0644 root:root",
            paths["key"]: "0600 root:root",
        }


def test_the_plain_key_is_in_no_file(paths: dict[str, str], tmp_path: Path) -> None:
    renew(paths, tmp_path)
    own = [path for path in tmp_path.rglob("*") if path.is_file() and "authority" not in path.parts]
    for path in own:
        assert b"PRIVATE KEY" not in path.read_bytes(), path


def test_an_interrupted_renewal_leaves_the_old_pair_usable(
    paths: dict[str, str], tmp_path: Path
) -> None:
    renew(paths, tmp_path)
    certificate_request.main({"key": paths["key"], "common_name": "a"})
    assert certificate_state.main(paths)["key"] == "usable"
    renew(paths, tmp_path)
    assert certificate_state.main(paths)["key"] == "usable"


def test_a_key_of_another_certificate_is_foreign(paths: dict[str, str], tmp_path: Path) -> None:
    renew(paths, tmp_path)
    certificate_request.main({"key": paths["key"], "common_name": "a"})
    Path(paths["key"] + ".new").rename(paths["key"])
    assert certificate_state.main(paths)["key"] == "foreign"


def test_a_key_that_cannot_be_decrypted_is_unreadable(
    paths: dict[str, str], tmp_path: Path
) -> None:
    renew(paths, tmp_path)
    Path(paths["key"]).write_text("damaged")
    assert certificate_state.main(paths)["key"] == "unreadable"


def test_services_that_loaded_other_files_are_stale(
    paths: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew(paths, tmp_path)
    sums = [
        f"{hashlib.sha256(Path(path).read_bytes()).hexdigest()}  {path}\n"
        for path in paths.values()
    ]
    records = tmp_path / "loaded"
    records.mkdir()
    (records / "current.service").write_text("".join(sums))
    (records / "older.service").write_text("0" * 64 + f"  {paths['certificate']}\n")
    (records / "elsewhere.service").write_text("0" * 64 + "  /etc/other\n")
    monkeypatch.setattr(certificate_state, "running", lambda units: units)
    state = certificate_state.main(paths)
    assert state["serving"] == ["current.service", "older.service"]
    assert state["stale"] == ["older.service"]
