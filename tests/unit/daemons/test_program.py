"""daemons/program.py: a daemon's settings, its run, and the code and the line it ends with."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemons.program import BAD_CONFIGURATION, Program


@dataclass(frozen=True)
class Settings:
    """What a daemon reads."""

    place: Path
    log_level: str = "warning"


class Refused(ValueError):
    """Settings that are wrong."""


def program(error: Exception | None = None) -> Program[Settings]:
    async def run(settings: Settings) -> None:
        await asyncio.sleep(0)
        if error is not None:
            raise error

    return Program("one-thing", "About it.", Settings, run, bad=(Refused,), failed=(KeyError,))


def test_a_run_that_was_stopped_ends_well() -> None:
    assert program().main([]) == 0


def test_its_settings_are_where_the_deploy_puts_them_or_where_it_is_told() -> None:
    seen: list[Path] = []

    async def run(settings: Settings) -> None:
        seen.append(settings.place)

    one = Program("one-thing", None, Settings, run)
    assert one.main([]) == one.main(["--config", "other.toml"]) == 0
    assert seen == [Path("/etc/federation/one-thing.toml"), Path("other.toml")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("no such node"), BAD_CONFIGURATION),
        (KeyError("no such node"), 1),
        (FileNotFoundError("no such node"), 1),
        (ssl.SSLError("no such node"), 1),
    ],
)
def test_what_stops_it_is_one_line_and_a_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program(error).main([]) == code
    line = capsys.readouterr().err
    assert line.startswith("federation-one-thing: ")
    assert "no such node" in line
    assert line.count("\n") == 1


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        program(ZeroDivisionError()).main([])


def test_help_names_the_module(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program().main(["--help"])
    assert "usage: daemons.one_thing [-h] [--config CONFIG]" in capsys.readouterr().out
