"""Tests of deploys/engine.py: inventory and lock agree, and what is missing is explained."""

from pathlib import Path

import pytest

from deploys import engine, wheelhouse
from deploys.engine import DISTRIBUTIONS, build, locked_version
from deploys.errors import BuildMissing
from deploys.release import SOURCE
from inventory.home import Home
from inventory.load import HERE, load


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(root=tmp_path / "home", cache=tmp_path / "cache")


@pytest.mark.parametrize("file", ["lab.toml", "federation.toml"])
def test_the_inventories_want_the_engines_that_are_locked(file: str) -> None:
    wanted = load(HERE / file).inference
    lock = (SOURCE / "requirements" / f"engine-{wanted.engine}.txt").read_text()
    assert locked_version(lock, DISTRIBUTIONS[wanted.engine]) == wanted.engine_version


def test_the_cpu_engine_goes_without_what_breaks_its_imports() -> None:
    lock = (SOURCE / "requirements" / "engine-cpu.txt").read_text()
    assert "\ntorch==" in lock
    for name in ("torchvision", "torchaudio", "torchcodec", "triton"):
        assert f"\n{name}==" not in lock


def test_another_version_than_the_locked_one_is_refused(home: Home) -> None:
    federation = load(HERE / "lab.toml")
    changed = federation.inference.model_copy(update={"engine_version": "9.9"})
    with pytest.raises(BuildMissing, match="make lock-engine"):
        build(home, federation.model_copy(update={"inference": changed}))


def test_a_folder_without_a_model_is_refused_before_anything_is_fetched(
    home: Home, tmp_path: Path
) -> None:
    with pytest.raises(BuildMissing, match="no model"):
        build(home, load(HERE / "lab.toml"), tmp_path)


def test_a_missing_torch_says_which_setting_helps(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(engine.WHEELS_VARIABLE, "/nowhere")
    seen: list[str] = []

    def fetch(_locks: object, _into: object, find_links: str = "") -> None:
        seen.append(find_links)
        raise wheelhouse.NotOffered("torch==2.13.0+cpu", "pip said no")

    monkeypatch.setattr(wheelhouse, "fetch", fetch)
    with pytest.raises(BuildMissing, match=r"FEDERATION_ENGINE_WHEELS=/nowhere.*inference\.md"):
        build(home, load(HERE / "lab.toml"))
    assert seen == ["/nowhere"]
