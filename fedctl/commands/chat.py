"""`chat`: talk to a model through a gateway, in the terminal or in a pipe."""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import click

from deploys.own_secrets import CHAT_KEY, store_of
from fedctl.app import App, FedCommand, pass_app
from fedctl.chat_client import places_of
from fedctl.chat_session import Session, converse, shown
from fedctl.errors import NeedsYes
from fedctl.work import actor, working

KEY_VARIABLE = "FEDERATION_KEY"
MAX_STDIN_CHARS = 1 << 20


@click.command(cls=FedCommand)
@click.argument("words", metavar="[MODEL] [QUESTION]...", nargs=-1)
@click.option("--system", default="", help="What the model is told before everything else.")
@click.option("--max-tokens", type=click.IntRange(1), help="How long an answer may become.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="How much chance is in it.")
@click.option("--key", help=f"An API key (better: ${KEY_VARIABLE}, which `ps` does not show).")
@click.option("--keep-key", is_flag=True, help="Keep the key, encrypted, for the next times.")
@pass_app
def chat(
    app: App,
    words: tuple[str, ...],
    system: str,
    max_tokens: int | None,
    temperature: float | None,
    key: str | None,
    keep_key: bool,
) -> None:
    """Talk to a model through a gateway; answers are shown as they come.

    On a terminal it is a conversation: /help shows what can be typed, Ctrl-C stops an answer,
    Ctrl-D leaves. With a QUESTION, or with one on stdin off a terminal, it answers that and ends.
    The first word is the MODEL (default: the inventory's) unless there is a space in it; `-` stands
    for the default. When a gateway is away the next one is asked.

    The key is --key, else $FEDERATION_KEY, else the one kept in the operator's folder; with none it
    offers to issue one. --json prints the final message with its usage.
    """
    model, question = _model_and_question(app, words)
    if not question and not (sys.stdin.isatty() and app.output.out.isatty()):
        question = sys.stdin.read(MAX_STDIN_CHARS).strip()
    if not question and (app.json or not sys.stdin.isatty()):
        raise click.UsageError("a question is needed: as an argument, or on stdin")
    with _interruptible():
        client = app.parts.chat(
            places_of(app.federation), app.home.authority / "ca.pem", _key(app, key, keep_key)
        )
        options = {"max_tokens": max_tokens, "temperature": temperature}
        chosen = {name: value for name, value in options.items() if value is not None}
        session = Session(client, model, chosen, system)
        if question:
            _once(app, session, question)
        else:
            _edit_lines()
            converse(session, app.output)


def _once(app: App, session: Session, question: str) -> None:
    if app.json:
        answer = session.ask(question, lambda _: None)
        message = {"role": "assistant", "content": answer.text}
        app.output.data(
            {
                "gateway": answer.gateway,
                "model": answer.model,
                "message": message,
                "finish_reason": answer.finish_reason,
                "usage": answer.usage,
            }
        )
        return
    session.ask(question, shown(app.output.out))
    app.output.text("")


def _model_and_question(app: App, words: Sequence[str]) -> tuple[str, str]:
    default = app.federation.inference.served_model_name
    if not words or " " in words[0].strip():
        return default, " ".join(words).strip()
    model = default if words[0] == "-" else words[0]
    return model, " ".join(words[1:]).strip()


def _key(app: App, given: str | None, keep: bool) -> str:
    """The key's text: given, in the environment, kept, or issued now; raises StoreError."""
    store = store_of(app.home)
    key = given or os.environ.get(KEY_VARIABLE) or ""
    if not key and (kept := store.find(CHAT_KEY, plain=app.home.chat_key)):
        return kept.text.strip()
    if not key:
        if not (app.yes or app.interactive):
            raise NeedsYes("there is no key to chat with.", f"--key, ${KEY_VARIABLE}, or --yes")
        app.confirm(f"No key yet. Issue one, and keep it in {store.path(CHAT_KEY)}?")
        key, keep = _issued(app), True
    if keep:
        store.put(CHAT_KEY, key)
        app.home.chat_key.unlink(missing_ok=True)
        place = store.path(CHAT_KEY)
        app.output.say(f"the key is kept, encrypted, in {place}; delete the file to forget it")
    return key


def _issued(app: App) -> str:
    with working(app, "chat key", actor()) as work:
        ledger = app.parts.open_ledger(app.federation, app.home, app.now)
        key, record = ledger.issue(f"fedctl chat of {actor()}", actor(), ("inference",), None, None)
        work.facts["key_id"] = record.id
        return key.reveal()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt here; the other signals end the program, as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _edit_lines() -> None:
    """Cursor keys and earlier lines where a question is typed; nothing is written to disk."""
    with suppress(ImportError):
        importlib.import_module("readline")
