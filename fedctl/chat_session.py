"""A conversation at a terminal: the history, what is typed, Ctrl-C, and how answers are shown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from fedctl.chat_client import Answer
from fedctl.chat_words import harmless
from fedctl.errors import ChatFailed
from fedctl.render import Output

PROMPT = "> "
HELP = (
    "/clear      begin a new conversation",
    "/model      the models there are; /model NAME goes on with that one",
    "/exit       leave, as Ctrl-D does",
    "Ctrl-C stops an answer; where a question is expected, it leaves",
)


class Asks(Protocol):
    """What a conversation needs of `chat_client.Client`."""

    def ask(self, body: dict[str, Any], hear: Callable[[str], None]) -> Answer:
        """The answer, told piece by piece; raises ChatFailed."""
        ...

    def models(self) -> tuple[str, ...]:
        """The models the key may use; raises ChatFailed."""
        ...


@dataclass
class Session:
    """A conversation. `options` goes into every request: `max_tokens`, `temperature`."""

    client: Asks
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    system: str = ""
    messages: list[dict[str, str]] = field(default_factory=list)

    def ask(self, question: str, hear: Callable[[str], None]) -> Answer:
        """One question and its answer, both kept; raises ChatFailed, and then neither is.

        What was heard of an answer that is interrupted is kept: the model should know it.
        """
        heard: list[str] = []

        def hearing(text: str) -> None:
            heard.append(text)
            hear(text)

        wanted = [*self.messages, {"role": "user", "content": question}]
        system = [{"role": "system", "content": self.system}] if self.system else []
        body = {"model": self.model, "messages": [*system, *wanted], **self.options}
        try:
            answer = self.client.ask(body, hearing)
        except KeyboardInterrupt:
            if heard:
                self.messages = [*wanted, {"role": "assistant", "content": "".join(heard)}]
            raise
        self.messages = [*wanted, {"role": "assistant", "content": answer.text}]
        return answer


def shown(out: IO[str]) -> Callable[[str], None]:
    """How pieces of an answer are written: harmless on a terminal, as they are in a pipe."""
    safe = harmless if out.isatty() else str

    def write(text: str) -> None:
        out.write(safe(text))
        out.flush()

    return write


def converse(session: Session, output: Output, read: Callable[[str], str] = input) -> None:
    """Ask and answer until the person leaves. `read` returns a line, or raises EOFError."""
    output.say(f"{session.model}; /help shows what else can be typed", style="dim")
    while True:
        try:
            line = read(PROMPT).strip()
        except (EOFError, OSError, KeyboardInterrupt):
            output.text("")
            return
        if line in ("/exit", "/quit"):
            return
        try:
            if line.startswith("/"):
                _obey(session, output, line)
            elif line:
                _answer(session, output, line)
        except KeyboardInterrupt:
            output.text("")
            output.say("stopped", style="dim")
        except ChatFailed as error:
            output.text("")
            output.fail(str(error), error.advice)


def _answer(session: Session, output: Output, question: str) -> None:
    answer = session.ask(question, shown(output.out))
    output.text("")
    output.say(summary(answer), style="dim")


def summary(answer: Answer) -> str:
    """One line about an answer: where it came from, what it took, why it ended if not by itself."""
    counted = answer.usage.get("completion_tokens")
    tokens = "" if counted is None else f", {counted} tokens"
    cut = ", cut at --max-tokens" if answer.finish_reason == "length" else ""
    return f"{harmless(answer.model)} through {answer.gateway}{tokens}{cut}"


def _obey(session: Session, output: Output, line: str) -> None:
    """Something typed that begins with a slash."""
    command, _, argument = line.partition(" ")
    if command == "/clear":
        session.messages = []
        output.say("a new conversation", style="dim")
    elif command == "/model" and argument:
        session.model = argument.strip()
        output.say(f"going on with {session.model}", style="dim")
    elif command == "/model":
        for name in session.client.models():
            output.say(f"{'*' if name == session.model else ' '} {harmless(name)}")
    else:
        for text in HELP:
            output.say(text, style="dim")
