"""Tests of deploys/compiled.py but for the compiling: the gateway's tests run what it makes."""

import platform
import shutil
import sysconfig
import zipfile
from pathlib import Path

import pytest

from deploys import compiled
from deploys.release import SOURCE, build_wheel
from gateway.compiled import MODULES


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine like the nodes, with a compiler."""
    (tmp_path / "Python.h").touch()
    monkeypatch.delenv(compiled.SWITCH, raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "python_version_tuple", lambda: ("3", "11", "2"))
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/gcc")
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))


@pytest.mark.usefixtures("able")
def test_a_machine_like_the_nodes_compiles() -> None:
    assert compiled.hindrance() is None


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("where", "name", "value", "said"),
    [
        (platform, "machine", lambda: "aarch64", "this is Linux aarch64"),
        (platform, "system", lambda: "Darwin", "this is Darwin x86_64"),
        (platform, "python_version_tuple", lambda: ("3", "12", "1"), "the nodes run Python 3.11"),
        (platform, "libc_ver", lambda: ("glibc", "2.39"), "this is glibc 2.39"),
        (platform, "libc_ver", lambda: ("", ""), "the nodes have glibc 2.36"),
        (shutil, "which", lambda _name: None, "apt-get install gcc"),
        (sysconfig, "get_path", lambda _name: "/nowhere", "apt-get install python3-dev"),
        (compiled, "find_spec", lambda _name: None, "mypy is not installed"),
    ],
)
def test_what_a_machine_lacks_is_said(
    where: object, name: str, value: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, value)
    found = compiled.hindrance()
    assert found is not None and said in found


@pytest.mark.usefixtures("able")
def test_compiling_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled.SWITCH, "no")
    assert compiled.hindrance() == f"{compiled.SWITCH} says so"


def test_every_module_that_is_compiled_exists() -> None:
    assert [m for m in MODULES if not (SOURCE / f"{m.replace('.', '/')}.py").is_file()] == []
    assert len(set(MODULES)) == len(MODULES)


def test_what_it_is_made_from_decides_whether_it_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "fedctl").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "gateway" / "relay.py").write_text("x = 1\n")
    before = compiled.digest(tmp_path)
    (tmp_path / "fedctl" / "main.py").write_text("x = 1\n")
    assert compiled.digest(tmp_path) == before
    (tmp_path / "gateway" / "relay.py").write_text("x = 2\n")
    assert compiled.digest(tmp_path) != before


def test_the_wheel_holds_libraries_beside_their_sources(tmp_path: Path) -> None:
    source, made = tmp_path / "source", tmp_path / "made"
    (source / "gateway").mkdir(parents=True)
    (source / "gateway" / "__init__.py").touch()
    (source / "gateway" / "relay.py").write_text("x = 1\n")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "federation-operator"\nversion = "1"\n'
        '[tool.setuptools.packages.find]\ninclude = ["gateway*"]\n'
    )
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    (made / "gateway").mkdir(parents=True)
    (made / "gateway" / f"relay{suffix}").write_bytes(b"compiled")
    (made / f"gateway_compiled__mypyc{suffix}").write_bytes(b"all of it")
    (tmp_path / "work").mkdir()
    wheel = build_wheel(source, tmp_path / "work", made)
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"gateway/relay{suffix}") == b"compiled"
        assert archive.read(f"gateway_compiled__mypyc{suffix}") == b"all of it"
        assert archive.read("gateway/relay.py") == b"x = 1\n"
    assert not wheel.name.endswith("-none-any.whl")
