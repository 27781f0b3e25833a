"""Every command is documented and has help; the reference page is what the commands say."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fedctl.app import subcommands
from fedctl.cli import cli
from fedctl.reference import PAGE, page

REPOSITORY = Path(__file__).parents[2]


def every_command(
    context: click.Context, command: click.Command
) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name, inner in subcommands(context, command).items():
            yield from every_command(click.Context(inner, info_name=name, parent=context), inner)


COMMANDS = dict(every_command(click.Context(cli, info_name="fedctl"), cli))


def test_the_reference_is_fresh() -> None:
    written = (REPOSITORY / "docs" / "reference" / PAGE).read_text()
    assert written == page(), "run `make reference`"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_help_that_begins_with_a_sentence(path: str) -> None:
    text = COMMANDS[path].help
    assert text
    first = text.partition("\n\n")[0].replace("\n", " ").strip()
    assert first.endswith((".", "!")), first
    assert COMMANDS[path].get_short_help_str(limit=400)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_has_help(path: str) -> None:
    for param in COMMANDS[path].params:
        if isinstance(param, click.Option):
            assert param.help, param.name


@pytest.mark.parametrize(
    "path", [p for p, command in COMMANDS.items() if not isinstance(command, click.Group)]
)
def test_every_command_takes_json_and_yes_at_its_end(path: str) -> None:
    options = {option for param in COMMANDS[path].params for option in param.opts}
    assert {"--json", "--yes", "--debug", "--inventory"} <= options


def test_the_commands_that_pages_mention_exist() -> None:
    """A page that tells a reader to type something that does not exist is worse than none."""
    pages = [*REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("README.md")]
    wrong = [
        f"{path.relative_to(REPOSITORY)}: fedctl {mention}"
        for path in pages
        for mention in mentions(path.read_text())
        if not exists(mention)
    ]
    assert not wrong


def exists(mention: str) -> bool:
    """Whether the first words name a command (capitals and `...` stand for something)."""
    words = [w for w in mention.split() if not w.startswith("-")]
    if not words or words[0] == "...":
        return True
    command = COMMANDS.get(f"fedctl {words[0].partition('|')[0]}")
    if isinstance(command, click.Group) and len(words) > 1 and words[1].islower():
        return all(verb in command.commands for verb in words[1].split("|"))
    return command is not None


def mentions(text: str) -> Iterator[str]:
    """What stands after `fedctl` where code begins: in backquotes or at a line's beginning."""
    for piece in text.split("`fedctl ")[1:]:
        yield without_global_options(piece.partition("`")[0])
    for line in text.splitlines():
        if line.startswith(("fedctl ", "$ fedctl ")):
            yield without_global_options(line.partition("fedctl ")[2].partition("#")[0])


def without_global_options(mention: str) -> str:
    words = mention.split()
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in ("-i", "--inventory") else words[1:]
    return " ".join(words)
