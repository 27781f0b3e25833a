"""`fedctl chat` with a client that is told what to answer."""

import io
import json
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploys.own_secrets import store_of
from fedctl.chat_client import Answer, Place
from fedctl.chat_session import Session, converse, shown
from fedctl.errors import ChatFailed
from fedctl.exits import Exit
from fedctl.render import Output
from tests.unit.fedctl.fakes import Stage
from trust import files

KEY = "fed_0123456789a_secret"


@dataclass
class Told:
    """A client whose answers are pieces of text, or an exception after some."""

    answers: list[Sequence[Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    key: str = ""

    def open(self, places: Sequence[Place], authority: Path, key: str) -> "Told":
        self.key = key
        return self

    def models(self) -> tuple[str, ...]:
        return ("tiny", "big\x1b")

    def ask(self, body: dict[str, Any], hear: Callable[[str], None]) -> Answer:
        self.asked.append(body)
        pieces = []
        for piece in self.answers.pop(0):
            if isinstance(piece, BaseException):
                raise piece
            pieces.append(piece)
            hear(piece)
        return Answer("redfin", body["model"], "".join(pieces), "stop", {"completion_tokens": 2})


@pytest.fixture
def told() -> Told:
    return Told([("Hel", "lo")])


@pytest.fixture
def stage(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage(tmp_path)
    stage.chat = told.open
    monkeypatch.setenv("FEDERATION_KEY", KEY)
    return stage


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_question_as_an_argument_is_answered_on_stdout(stage: Stage, told: Told) -> None:
    assert stage.fedctl("chat", "Who are you?", "--max-tokens", "5", "--temperature", "0.5") == 0
    assert stage.out.getvalue() == "Hello\n"
    [body] = told.asked
    assert body["messages"] == [{"role": "user", "content": "Who are you?"}]
    assert (body["max_tokens"], body["temperature"], told.key) == (5, 0.5, KEY)


@pytest.mark.parametrize(
    ("words", "model", "question"),
    [
        (("tiny", "Who", "are", "you?"), "tiny", "Who are you?"),
        (("-", "hi"), None, "hi"),
        (("Who are", "you?"), None, "Who are you?"),
    ],
)
def test_the_first_word_is_the_model(
    stage: Stage, told: Told, words: tuple[str, ...], model: str | None, question: str
) -> None:
    assert stage.fedctl("chat", *words) == 0
    default = stage.app().federation.inference.served_model_name
    assert told.asked[0]["model"] == (model or default)
    assert told.asked[0]["messages"][-1]["content"] == question


def test_a_question_on_stdin_with_a_system_prompt_as_json(
    stage: Stage, told: Told, piped: Callable[[str], None]
) -> None:
    piped("Sum this up:\n1 2 3\n")
    assert stage.fedctl("chat", "tiny", "--system", "Be brief.", "--json") == 0
    value = json.loads(stage.out.getvalue())
    assert value["message"] == {"role": "assistant", "content": "Hello"}
    assert value["usage"] == {"completion_tokens": 2} and value["gateway"] == "redfin"
    assert told.asked[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Sum this up:\n1 2 3"},
    ]


def test_without_a_question_there_is_nothing_to_do(
    stage: Stage, piped: Callable[[str], None]
) -> None:
    piped("  \n")
    assert stage.fedctl("chat") == Exit.USAGE


def test_a_failure_is_said_with_what_to_do(stage: Stage, told: Told) -> None:
    told.answers = [(ChatFailed("the engine is busy", "try again in 2 s"),)]
    assert stage.fedctl("chat", "hi there") == Exit.FAILED
    assert "the engine is busy" in stage.err.getvalue()
    assert "try again in 2 s" in stage.err.getvalue()


def test_a_key_is_kept_when_that_is_wanted_and_used_then(
    stage: Stage, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.answers = [("a",), ("b",), ("c",)]
    assert stage.fedctl("chat", "hi there", "--key", "fed_other", "--keep-key") == 0
    assert told.key == "fed_other" and "encrypted" in stage.err.getvalue()
    kept = stage.home.secrets / "chat-key.age"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "fed_other" not in kept.read_text()
    monkeypatch.delenv("FEDERATION_KEY")
    assert stage.fedctl("chat", "hi there") == 0
    assert told.key == "fed_other"
    kept.chmod(0o644)
    assert stage.fedctl("chat", "hi there") == Exit.FAILED
    assert "chmod 600" in stage.err.getvalue()


def test_without_a_key_one_is_issued_with_yes_and_only_then(
    stage: Stage, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEDERATION_KEY")
    assert stage.fedctl("chat", "hi there") == Exit.USAGE
    assert not stage.ledger.records and "FEDERATION_KEY" in stage.err.getvalue()
    assert stage.fedctl("chat", "hi there", "--yes") == 0
    [record] = stage.ledger.records.values()
    assert (
        record.scopes == ("inference",) and told.key == store_of(stage.home).find("chat-key").text
    )
    assert [event.kind for event in stage.ledger.events] == ["fedctl.chat.key"]
    assert told.key not in str(stage.ledger.events[0].data)
    assert "chat-key.age" in stage.err.getvalue()


def test_a_key_that_an_earlier_release_kept_in_the_clear_is_taken_into_the_store(
    stage: Stage, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEDERATION_KEY")
    told.answers = [("a",), ("b",)]
    stage.home.chat_key.parent.mkdir(parents=True, exist_ok=True)
    files.write(stage.home.chat_key, b"fed_kept\n", 0o600)
    assert stage.fedctl("chat", "hi there") == 0 and stage.fedctl("chat", "hi there") == 0
    assert told.key == "fed_kept" and not stage.home.chat_key.exists()


def typed(*lines: Any) -> Callable[[str], str]:
    left: Iterator[Any] = iter(lines)

    def read(_: str) -> str:
        line = next(left, EOFError())
        if isinstance(line, BaseException):
            raise line
        return str(line)

    return read


def conversation(told: Told, *lines: Any) -> tuple[Session, str, str]:
    out, err = io.StringIO(), io.StringIO()
    session = Session(told, "tiny")
    converse(session, Output(out, err), typed(*lines))
    return session, out.getvalue(), err.getvalue()


def test_a_conversation_remembers_until_it_is_cleared(told: Told) -> None:
    told.answers = [("Ada",), ("You said so",), ("What?",)]
    session, out, err = conversation(told, "Who?", "", "Sure?", "/clear", "Again", "/exit", "no")
    assert [len(body["messages"]) for body in told.asked] == [1, 3, 1]
    assert told.asked[1]["messages"][1] == {"role": "assistant", "content": "Ada"}
    assert "Ada\n" in out and "tiny through redfin, 2 tokens" in err
    assert [m["content"] for m in session.messages] == ["Again", "What?"]


def test_the_model_can_be_changed_and_commands_are_explained(told: Told) -> None:
    session, _, err = conversation(told, "/model big", "Hi", "/model", "/what")
    assert (session.model, told.asked[0]["model"]) == ("big", "big")
    assert "  tiny" in err and "big␛" in err and "/clear" in err


def test_ctrl_c_stops_an_answer_and_at_the_prompt_it_leaves(told: Told) -> None:
    told.answers = [("Once upon", KeyboardInterrupt()), ("Yes",)]
    session, _, err = conversation(told, "A story", "Go on?", KeyboardInterrupt(), "never")
    assert "stopped" in err and len(told.asked) == 2
    # What was heard of the answer that was stopped is part of the conversation.
    assert told.asked[1]["messages"][1] == {"role": "assistant", "content": "Once upon"}
    assert len(session.messages) == 4


def test_a_failed_turn_is_said_and_forgotten(told: Told) -> None:
    told.answers = [(ChatFailed("the engine failed", "look"),), ("Better",)]
    session, _, err = conversation(told, "One", "Two")
    assert "the engine failed" in err
    assert told.asked[1]["messages"] == [{"role": "user", "content": "Two"}]
    assert len(session.messages) == 2


def test_only_a_terminal_is_spared_what_it_would_obey() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for out, expected in ((Terminal(), "␛[2J"), (io.StringIO(), "\x1b[2J")):
        shown(out)("\x1b[2J")
        assert out.getvalue() == expected
