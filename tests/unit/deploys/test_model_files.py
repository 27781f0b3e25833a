"""Tests of deploys/model_files.py: what is hashed, and when it is hashed again."""

from pathlib import Path

import pytest

from deploys import model_files as module
from deploys.errors import BuildMissing
from deploys.model_files import model_files


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "HEAD").write_text("x")
    (folder / "config.json").write_text("{}")
    (folder / "weights").write_text("abc")
    return folder


def test_a_models_files_without_its_history(model: Path, tmp_path: Path) -> None:
    found = model_files(model, tmp_path / "cache")
    assert sorted(found.sums) == ["config.json", "weights"]
    assert len(found.digest) == 64


def test_only_touched_files_are_hashed_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = model_files(model, tmp_path / "cache")
    hashed: list[str] = []
    real = module.file_digest

    def digest(path: Path) -> str:
        hashed.append(path.name)
        return real(path)

    monkeypatch.setattr(module, "file_digest", digest)
    assert model_files(model, tmp_path / "cache") == first
    assert hashed == []
    (model / "weights").write_text("abcd")
    assert model_files(model, tmp_path / "cache").digest != first.digest
    assert hashed == ["weights"]


def test_a_damaged_memory_is_no_obstacle(model: Path, tmp_path: Path) -> None:
    first = model_files(model, tmp_path / "cache")
    [memory] = (tmp_path / "cache" / "models").iterdir()
    memory.write_text("{")
    assert model_files(model, tmp_path / "cache") == first


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BuildMissing, match=r"config\.json"):
        model_files(tmp_path, tmp_path / "cache")
