"""Runs one command line and turns however it ends into an exit code and words."""

import logging
import os
import sys
import traceback
from collections.abc import Sequence

import click

from fedctl.app import App
from fedctl.cli import cli
from fedctl.exits import Exit, ending_of


def run(argv: Sequence[str], app: App | None = None) -> int:
    """Run `fedctl ARGV`; the exit code. Never raises, never shows a traceback unasked."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    app = app or App(argv=tuple(argv))
    try:
        cli.main(args=list(argv), prog_name="fedctl", standalone_mode=False, obj=app)
        sys.stdout.flush()
    except SystemExit as done:
        # How click ends after it has answered a shell that completes a word.
        return done.code if isinstance(done.code, int) else Exit.DONE
    except BaseException as error:
        return _ended(error, app)
    return Exit.DONE


def _ended(error: BaseException, app: App) -> int:
    if isinstance(error, BrokenPipeError):
        # The reader (head, less) has gone; do not let the interpreter complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    ending = ending_of(error)
    output = app.output
    if app.debug and not isinstance(error, click.ClickException):
        output.say("".join(traceback.format_exception(error)), style="dim")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        output.say(error.ctx.get_usage())
        output.fail(ending.message, ending.advice or f"{error.ctx.command_path} --help")
    elif ending.message:
        output.fail(ending.message, ending.advice)
    return int(ending.code)
