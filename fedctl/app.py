"""What every command gets: the inventory, the operator's folders, the two streams, the parts.

`App` is click's context object. The parts (how to connect, how to run a deploy, the ledger, the
lab) are passed in, so that tests give their own implementations and no socket is patched.
"""

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click

from fedctl.errors import Declined, NeedsYes, NotHere
from fedctl.parts import Parts
from fedctl.render import Output
from inventory.errors import UnknownNode
from inventory.home import Home, home_of
from inventory.load import default_path, load
from inventory.model import Federation, Node, Platform

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class App:
    """One invocation. `argv` is what was typed; `now` returns UTC."""

    argv: tuple[str, ...] = ()
    inventory: Path | None = None
    yes: bool = False
    debug: bool = False
    output: Output = field(default_factory=Output)
    parts: Parts = field(default_factory=Parts)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def json(self) -> bool:
        """Whether stdout is for a program."""
        return self.output.json

    @property
    def inventory_path(self) -> Path:
        """The inventory's file, absolute: subprocesses are told the same one."""
        return (self.inventory or default_path()).resolve()

    @cached_property
    def federation(self) -> Federation:
        """The inventory; raises InventoryError when it cannot be read."""
        return load(self.inventory_path)

    @cached_property
    def home(self) -> Home:
        """The operator's folders for this federation."""
        return home_of(self.federation.name)

    def lab_only(self, verb: str) -> None:
        """Refuse lab verbs at a site: they make and destroy machines."""
        if self.federation.kind != "lab":
            raise NotHere(
                f"{verb} is for labs; {self.inventory_path} describes the site "
                f"{self.federation.name!r}",
                "choose a lab's inventory with -i PATH",
            )

    @property
    def interactive(self) -> bool:
        """Whether a person is there to be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, question: str) -> None:
        """Ask before something that cannot be taken back; off a terminal, insist on --yes."""
        if self.yes:
            return
        if not self.interactive:
            raise NeedsYes(f"{question} Nobody is here to answer.", "say --yes when you mean it")
        if not click.confirm(question, err=True):
            raise Declined("nothing was done")

    def linux(self, selectors: tuple[str, ...] = ()) -> tuple[Node, ...]:
        """Selected nodes that run Debian; raises UnknownNode when there is none."""
        nodes = tuple(
            node for node in self.federation.select(selectors) if node.platform is Platform.DEBIAN
        )
        if not nodes:
            known = tuple(node.name for node in self.federation.on(Platform.DEBIAN))
            raise UnknownNode(", ".join(selectors) or "debian", known)
        return nodes


pass_app = click.make_pass_decorator(App)


class FedCommand(click.Command):
    """A command that also takes the global flags, so that they may be typed last."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = {option for param in self.params for option in param.opts}
        self.params.extend(option for option in global_options() if not own & set(option.opts))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options; the global ones are on `fedctl --help`."""
        rows = [
            row
            for param in self.get_params(ctx)
            if not getattr(param, "is_global", False) and (row := param.get_help_record(ctx))
        ]
        with formatter.section("Options"):
            formatter.write_dl(rows)


class FedGroup(click.Group):
    """A group whose commands are FedCommands, listed in the order they were written."""

    command_class = FedCommand
    group_class = type

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command's first sentence, whole."""
        rows = [
            (name, command.get_short_help_str(limit=400))
            for name, command in subcommands(ctx, self).items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of definition."""
        del ctx
        return list(self.commands)


class LazyGroup(FedGroup):
    """A group whose commands are imported when asked for: `lazy` maps names to `module:name`."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, imported or not."""
        del ctx
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now if need be."""
        del ctx
        if cmd_name not in self._lazy:
            return None
        if cmd_name not in self.commands:
            module, _, name = self._lazy[cmd_name].partition(":")
            self.commands[cmd_name] = getattr(importlib.import_module(module), name)
        return self.commands[cmd_name]


def subcommands(context: click.Context, group: click.Group) -> dict[str, click.Command]:
    """A group's commands by name, in order."""
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


class GlobalOption(click.Option):
    """An option of `fedctl` itself that commands also accept."""

    is_global = True


def global_options() -> list[click.Option]:
    """Fresh options `--json`, `--yes`, `--debug`, `-i/--inventory`."""
    return [
        GlobalOption(
            ["-i", "--inventory"],
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="PATH",
            expose_value=False,
            callback=_set_inventory,
            help="The federation's TOML file (default: $FEDERATION_INVENTORY, else the lab's).",
        ),
        GlobalOption(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_set_json,
            help="Data as JSON on stdout.",
        ),
        GlobalOption(
            ["--yes"],
            is_flag=True,
            expose_value=False,
            callback=_set_yes,
            help="Answer yes to questions; needed off a terminal by commands that ask.",
        ),
        GlobalOption(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=_set_debug,
            help="Show where an error comes from.",
        ),
    ]


def _app(context: click.Context) -> App:
    app = context.find_object(App)
    return app if app is not None else context.ensure_object(App)


def _set_inventory(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        _app(context).inventory = value


def _set_json(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        _app(context).output.json = True


def _set_yes(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        _app(context).yes = True


def _set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value or os.environ.get("FEDERATION_DEBUG"):
        _app(context).debug = True
