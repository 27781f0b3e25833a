"""Tests of deploys/wheelhouse.py: names and hashes, complete or absent, and what pip is told."""

import subprocess
from pathlib import Path

import pytest

from deploys import wheelhouse
from deploys.errors import BuildMissing
from deploys.wheelhouse import NotOffered, beside, damaged, fetch, opened, parse_sums, seal

UV = "uv-1.0-py3-none-any.whl"
ALPHA = "Alpha_One-2.0+cpu-py3-none-any.whl"


def fill(folder: Path) -> dict[str, str]:
    for name in (UV, ALPHA):
        (folder / name).write_text(name)
    return {name: wheelhouse.file_digest(folder / name) for name in (UV, ALPHA)}


def test_a_wheels_name_says_what_it_is() -> None:
    assert wheelhouse.wheel_identity(ALPHA) == ("alpha-one", "2.0+cpu")
    with pytest.raises(ValueError, match="not the name of a wheel"):
        wheelhouse.wheel_identity("alpha-1.0.tar.gz")


def test_sums_survive_a_round_trip_and_order_does_not_matter() -> None:
    sums = {"b.whl": "2", "a.whl": "1"}
    assert wheelhouse.sums_text(sums) == "1  a.whl\n2  b.whl\n"
    assert parse_sums(wheelhouse.sums_text(sums)) == sums


def test_a_sealed_folder_opens_and_admits_exactly_its_wheels(tmp_path: Path) -> None:
    sums = fill(tmp_path)
    seal(tmp_path, sums)
    house = opened(tmp_path)
    assert house is not None
    assert house.installer == UV
    assert house.requirements == f"alpha-one==2.0+cpu --hash=sha256:{sums[ALPHA]}\n"
    assert (tmp_path / "requirements.txt").read_text() == house.requirements


def test_a_folder_that_lost_a_file_is_not_complete(tmp_path: Path) -> None:
    assert opened(tmp_path / "nowhere") is None
    seal(tmp_path, fill(tmp_path))
    (tmp_path / ALPHA).unlink()
    assert opened(tmp_path) is None


def test_a_changed_wheel_is_named(tmp_path: Path) -> None:
    seal(tmp_path, fill(tmp_path))
    house = opened(tmp_path)
    assert house is not None
    assert damaged(house, house.sums) == ()
    (tmp_path / UV).write_text("other")
    assert damaged(house, house.sums) == (UV,)


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), beside(tmp_path / "house") as work:
        fill(work)
        raise RuntimeError("power cut")
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_folder_is_replaced_and_a_complete_one_kept(tmp_path: Path) -> None:
    house = tmp_path / "house"
    house.mkdir()
    (house / "half").touch()
    with beside(house) as work:
        seal(work, fill(work))
    assert opened(house) is not None
    before = house.stat().st_ino
    with beside(house) as work:
        seal(work, fill(work))
    assert house.stat().st_ino == before
    assert [path.name for path in tmp_path.iterdir()] == ["house"]


def test_pip_fetches_wheels_for_the_nodes_by_hash_only() -> None:
    arguments = wheelhouse.pip_arguments(Path("lock"), Path("into"), "/some/wheels")
    for expected in (
        "--require-hashes", "--only-binary=:all:", "--no-deps", "--python-version=3.11",
        "--platform=manylinux_2_28_x86_64", "--find-links=/some/wheels",
    ):  # fmt: skip
        assert expected in arguments
    assert "--platform=manylinux_2_37_x86_64" not in arguments
    assert not any("find-links" in word for word in wheelhouse.pip_arguments(Path("a"), Path("b")))


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ({}, None),
        ({"UV_INDEX_URL": "u"}, "u"),
        ({"UV_DEFAULT_INDEX": "d", "UV_INDEX_URL": "u"}, "d"),
        ({"UV_INDEX_URL": "u", "PIP_INDEX_URL": "p"}, "p"),
    ],
)
def test_uvs_index_counts_where_pip_has_none(given: dict[str, str], index: str | None) -> None:
    assert wheelhouse.pip_environment(given).get("PIP_INDEX_URL") == index


def answer(monkeypatch: pytest.MonkeyPatch, code: int, stderr: str = "") -> list[list[str]]:
    """Have pip answer so; it "downloads" two wheels when it succeeds."""
    calls: list[list[str]] = []

    def run(arguments: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(arguments)
        if code == 0:
            [into] = [a.removeprefix("--dest=") for a in arguments if a.startswith("--dest=")]
            fill(Path(into))
        return subprocess.CompletedProcess(arguments, code, "", stderr)

    monkeypatch.setattr(wheelhouse.subprocess, "run", run)
    return calls


def test_a_lock_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = answer(monkeypatch, 0)
    first = fetch(["a==1\n"], tmp_path)
    assert fetch(["a==1\n"], tmp_path) == first
    assert len(calls) == 1
    assert fetch(["a==2\n"], tmp_path).folder != first.folder


def test_what_no_index_offers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ERROR: No matching distribution found for torch==2.13.0+cpu\n"
    answer(monkeypatch, 1, said)
    with pytest.raises(NotOffered, match="pip config list") as caught:
        fetch(["torch==2.13.0+cpu\n"], tmp_path)
    assert caught.value.what == "torch==2.13.0+cpu"
    assert list(tmp_path.iterdir()) == []


def test_pips_own_words_reach_the_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, 1, "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n")
    with pytest.raises(BuildMissing, match="DO NOT MATCH THE HASHES"):
        fetch(["a==1\n"], tmp_path)
