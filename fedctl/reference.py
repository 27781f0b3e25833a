"""Writes docs/reference/fedctl.md from the commands: `python -m fedctl.reference FOLDER`.

Pure but for `main`. A test holds the page to what this module makes.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from fedctl.app import FedCommand, subcommands
from fedctl.cli import cli
from fedctl.exits import MEANING

PAGE = "fedctl.md"
HEAD = """\
# fedctl

This page is written by `make reference` from the commands' own help; do not edit it.

Data goes to stdout, everything for people to stderr. Selectors (`NODE|ROLE`) are node names or
roles; one that matches nothing is an error. Global options may be typed before the command or at
its end. Commands that change something take the fleet lock, leave a folder of logs
(`fedctl runs list`) and an event in the ledger. Commands that destroy ask, and refuse off a
terminal without `--yes`.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## Global options\n", "\n".join(options(cli)), "", "## Exit codes\n"]
    parts += ["| code | meaning |", "|---|---|"]
    parts += [f"| {int(code)} | {meaning} |" for code, meaning in MEANING.items()]
    parts += [
        "",
        "`fedctl exec` and `fedctl lab exec` end with the (worst) exit code of the command.",
        "",
    ]
    parts += commands(click.Context(cli, info_name="fedctl"), cli)
    return "\n".join(parts).rstrip() + "\n"


def commands(context: click.Context, group: click.Group) -> Iterator[str]:
    """Every command below `group`: heading, usage, help, options."""
    for name, command in subcommands(context, group).items():
        inner = click.Context(command, info_name=name, parent=context)
        level = "##" if context.parent is None else "###"
        yield f"{level} {inner.command_path}\n"
        if not isinstance(command, click.Group):
            yield f"```\n{usage(inner)}\n```\n"
        yield f"{inspect.cleandoc(command.help or '')}\n"
        rows = list(options(command))
        if rows:
            yield "\n".join(rows) + "\n"
        if isinstance(command, click.Group):
            yield from commands(inner, command)


def usage(context: click.Context) -> str:
    """`fedctl lab kill [OPTIONS] NODE`."""
    return " ".join([context.command_path, *context.command.collect_usage_pieces(context)])


def options(command: click.Command) -> Iterator[str]:
    """A table of a command's own options (the global ones have a table of their own)."""
    context = click.Context(command)
    records = [
        param.get_help_record(context)
        for param in command.params
        if not (isinstance(command, FedCommand) and getattr(param, "is_global", False))
    ]
    rows = [record for record in records if record]
    if rows:
        yield "| option | meaning |"
        yield "|---|---|"
    for option, meaning in rows:
        yield f"| `{option.replace('|', chr(92) + '|')}` | {meaning.replace('|', chr(92) + '|')} |"


def main() -> None:
    """Write the page into the folder named on the command line."""
    folder = Path(sys.argv[1])
    (folder / PAGE).write_text(page())


if __name__ == "__main__":
    main()
