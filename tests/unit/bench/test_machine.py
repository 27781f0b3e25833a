"""What a benchmark changes on the machine is as it was when it ends, however it ends."""

from pathlib import Path

import pytest

from tests.bench.machine import policies_that_count


@pytest.fixture
def setting(tmp_path: Path) -> Path:
    path = tmp_path / "sched_autogroup_enabled"
    path.write_text("1\n")
    return path


def test_autogroups_are_off_meanwhile_and_back_after_a_failure(setting: Path) -> None:
    with pytest.raises(KeyboardInterrupt), policies_that_count(setting):
        assert setting.read_text() == "0\n"
        raise KeyboardInterrupt
    assert setting.read_text() == "1\n"


def test_a_machine_without_them_is_left_alone(setting: Path) -> None:
    setting.write_text("0\n")
    setting.chmod(0o400)
    with policies_that_count(setting):
        assert setting.read_text() == "0\n"
    setting.unlink()
    with policies_that_count(setting):
        assert not setting.exists()
