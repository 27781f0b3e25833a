"""deploys/remote/secrets_audit.py on a folder; only systemd-creds is a stand-in."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploys.remote import secrets_audit
from trust.apikeys import new_key

# Opens what begins with "sealed NAME", as systemd-creds opens only what it sealed under that name.
CREDS = """#!/bin/sh
name=${2#--name=}
exec grep -q "^sealed $name$" "$3"
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "systemd-creds"
    program.write_text(CREDS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "etc" / "credentials").mkdir(parents=True)
    for name, content in (("tls.key", "sealed tls.key"), ("tls.key.new", "sealed tls.key")):
        put(tmp_path / "etc" / "credentials" / name, content)
    put(tmp_path / "etc" / "node.pem", "-----BEGIN CERTIFICATE-----\n")
    return tmp_path


def put(path: Path, content: str, mode: int = 0o600) -> None:
    path.write_text(content)
    path.chmod(mode)


def look(node: Path) -> dict[str, str]:
    argument = {
        "folders": [str(node / "etc"), str(node / "gone")],
        "credentials": str(node / "etc" / "credentials"),
    }
    answer: list[dict[str, Any]] = secrets_audit.main(argument)
    return {Path(each["path"]).name: each["what"] for each in answer}


@pytest.mark.skipif(os.geteuid() != 0, reason="credentials belong to root")
def test_a_clean_node_has_nothing(node: Path) -> None:
    assert look(node) == {}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("x\n-----BEGIN PRIVATE KEY-----\n", "private key"),
        ("PRIVATE+KEY+log+1+AAAA", "private key"),
        (f"key={new_key(bytes(range(40))).reveal()}", "API key"),
        ("[Service]\nSetCredential=a:b\n", "unit"),
    ],
)
def test_secrets_in_files_are_found_and_not_repeated(node: Path, content: str, what: str) -> None:
    (node / "etc" / "deep").mkdir()
    put(node / "etc" / "deep" / "it.conf", content)
    said = look(node)["it.conf"]
    assert what in said and content not in said


def test_a_credential_in_plain_text_or_under_another_name_is_found(node: Path) -> None:
    put(node / "etc" / "credentials" / "key-pepper", "00" * 32)
    put(node / "etc" / "credentials" / "log-key", "sealed key-pepper")
    assert {"key-pepper", "log-key"} <= look(node).keys()


def test_an_open_credential_is_found(node: Path) -> None:
    (node / "etc" / "credentials" / "tls.key").chmod(0o640)
    assert "others than root" in look(node)["tls.key"]


def test_a_databases_rows_and_sockets_are_left_alone(node: Path) -> None:
    (node / "etc" / "data" / "base").mkdir(parents=True)
    put(node / "etc" / "data" / "PG_VERSION", "15")
    put(node / "etc" / "data" / "base" / "1", "-----BEGIN PRIVATE KEY-----")
    os.mkfifo(node / "etc" / "pipe")
    assert not {"1", "pipe"} & look(node).keys()


def test_it_runs_alone_on_stdin_as_a_node_gets_it(node: Path) -> None:
    text = Path(secrets_audit.__file__).read_text()
    argument = json.dumps({"folders": [str(node / "etc")], "credentials": str(node / "none")})
    text += f"\nimport json\nprint(json.dumps(main(json.loads({argument!r}))))\n"
    command = [sys.executable, "-I", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
