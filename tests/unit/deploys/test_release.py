"""Tests of deploys/release.py: the same sources give the same release, others another one."""

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploys import release, wheelhouse
from deploys.errors import BuildMissing
from deploys.release import SOURCE, build, build_wheel, packages, source_digest
from inventory.home import Home

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "federation-operator"
version = "1.2.3"
[tool.setuptools.packages.find]
include = ["gateway*", "trust*"]
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small project of the same shape as ours."""
    root = tmp_path / "source"
    for package in ("gateway", "trust", "elsewhere"):
        (root / package).mkdir(parents=True)
        (root / package / "__init__.py").write_text(f'"""{package}."""\n')
    (root / "requirements").mkdir()
    for name in ("node.in", "node.txt", "uv.txt"):
        (root / "requirements" / name).write_text("")
    (root / "pyproject.toml").write_text(PYPROJECT)
    return root


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose wheelhouse holds an installer and one dependency, fetched from nowhere.

    Nothing is compiled: these sources have no gateway.
    """
    monkeypatch.setenv("FEDERATION_COMPILE", "no")

    def fetch(locks: Sequence[str], into: Path, find_links: str = "") -> wheelhouse.Wheelhouse:
        folder = into / "fetched"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("uv-1-py3-none-any.whl", "alpha-1-py3-none-any.whl"):
            (folder / name).write_text(name)
        files = sorted(folder.glob("*.whl"))
        wheelhouse.seal(folder, {path.name: wheelhouse.file_digest(path) for path in files})
        house = wheelhouse.opened(folder)
        assert house is not None
        return house

    monkeypatch.setattr(wheelhouse, "fetch", fetch)
    return Home(root=tmp_path / "home", cache=tmp_path / "cache")


def test_the_packages_are_those_the_project_includes(source: Path) -> None:
    assert packages(source) == ("gateway", "trust")
    assert {"inventory", "gateway", "ledger"} <= set(packages(SOURCE))


def test_only_what_a_release_is_made_of_changes_its_digest(source: Path) -> None:
    before = source_digest(source)
    (source / "elsewhere" / "new.py").write_text("1")
    (source / "gateway" / "__pycache__").mkdir()
    (source / "gateway" / "__pycache__" / "x.pyc").write_text("1")
    assert source_digest(source) == before
    (source / "gateway" / "new.py").write_text("1")
    assert source_digest(source) != before


def test_the_same_sources_build_the_same_wheel(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    (copy / "build" / "lib" / "gateway").mkdir(parents=True)
    (copy / "build" / "lib" / "gateway" / "old.py").write_text("left over")
    wheels = []
    for number, folder in enumerate((source, copy)):
        work = tmp_path / str(number)
        work.mkdir()
        wheels.append(build_wheel(folder, work))
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
    names = zipfile.ZipFile(wheels[0]).namelist()
    assert "gateway/__init__.py" in names
    assert not [name for name in names if name.startswith(("elsewhere", "build"))]


def test_a_release_is_built_once_and_named_by_what_is_in_it(source: Path, home: Home) -> None:
    first = build(home, source=source)
    assert first.version.startswith("1.2.3+")
    house = wheelhouse.opened(first.wheelhouse)
    assert house is not None
    assert sorted(house.sums) == [
        "alpha-1-py3-none-any.whl",
        "federation_operator-1.2.3-py3-none-any.whl",
        "uv-1-py3-none-any.whl",
    ]
    assert first.requirements.read_text().count("--hash=sha256:") == 2
    assert build(home, source=source) == first
    (source / "trust" / "more.py").write_text("x = 1\n")
    assert build(home, source=source).version != first.version


def test_an_unchanged_release_builds_no_wheel(
    source: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(home, source=source)
    monkeypatch.setattr(release, "build_wheel", lambda *_: pytest.fail("built again"))
    assert build(home, source=source) == first


def test_a_damaged_cache_is_built_again(source: Path, home: Home) -> None:
    first = build(home, source=source)
    (first.wheelhouse / "uv-1-py3-none-any.whl").unlink()
    assert build(home, source=source) == first
    assert wheelhouse.opened(first.wheelhouse) is not None


def test_a_project_that_does_not_build_says_why(source: Path, home: Home) -> None:
    (source / "pyproject.toml").write_text(PYPROJECT.replace('version = "1.2.3"', "version = 3"))
    with pytest.raises(BuildMissing, match="could not be built"):
        build(home, source=source)


def test_without_a_checkout_there_is_nothing_to_build(tmp_path: Path, home: Home) -> None:
    with pytest.raises(BuildMissing, match="checkout"):
        build(home, source=tmp_path)
