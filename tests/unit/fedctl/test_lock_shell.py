"""The script nodes run, run here by every POSIX shell at hand, on a folder of the test's own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from fedctl import lock_shell
from fedctl.lock import Answer, Claim, Word, parse_answer

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
OURS = Claim("run-1", "ada@desk", 'it\'s "quoted", $HOME `id`', "m", "1@2")
THEIRS = Claim("run-2", "bob@laptop", "up", "m", "3@4")


@pytest.fixture(params=SHELLS)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> "NodeFolder":
    return NodeFolder(request.param, tmp_path / "lock")


class NodeFolder:
    """A node's lock folder and the shell that works on it."""

    def __init__(self, shell: str, folder: Path) -> None:
        self.shell, self.folder = shell, folder

    def ask(self, argv: list[str]) -> Answer:
        local = [str(self.folder) if word == lock_shell.FOLDER else word for word in argv[1:]]
        program = ["busybox", "sh"] if self.shell == "busybox" else [self.shell]
        done = subprocess.run(
            [*program, *local], input=lock_shell.SCRIPT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        return parse_answer(done.stdout)

    def acquire(self, claim: Claim, lease: int = 60, instead: str = "") -> Answer:
        return self.ask(lock_shell.acquire(claim.token, lease, claim.head(), instead))

    def renew(self, claim: Claim) -> Answer:
        return self.ask(lock_shell.renew(claim.token, 60, claim.head()))

    def release(self, claim: Claim) -> Answer:
        return self.ask(lock_shell.release(claim.token))

    def show(self) -> Answer:
        return self.ask(lock_shell.show())


def test_it_is_granted_once_and_shown_to_all(node: NodeFolder) -> None:
    assert node.show().word is Word.FREE
    first = node.acquire(OURS)
    assert first.word is Word.GRANTED
    second = node.acquire(THEIRS)
    assert second.word is Word.HELD
    assert second.record is not None
    assert second.record.claim == OURS
    assert second.record.expires == first.now + 60
    assert node.show().record == second.record


def test_it_is_freed_by_its_holder_only(node: NodeFolder) -> None:
    node.acquire(OURS)
    assert node.release(THEIRS).word is Word.FREE
    assert node.show().word is Word.HELD
    assert node.release(OURS).word is Word.RELEASED
    assert node.acquire(THEIRS).word is Word.GRANTED


def test_who_has_left_gets_it_no_more_and_others_do(node: NodeFolder) -> None:
    assert node.ask(lock_shell.leave(OURS.token)).word is Word.FREE
    assert node.acquire(OURS).word is Word.LOST, "it was asked before, and comes after"
    assert node.show().word is Word.FREE
    assert node.acquire(THEIRS).word is Word.GRANTED
    assert node.ask(lock_shell.leave(THEIRS.token)).word is Word.RELEASED
    assert node.show().word is Word.FREE


def test_an_expired_one_is_taken_over_and_named(node: NodeFolder) -> None:
    node.acquire(OURS, lease=0)
    assert node.show().word is Word.FREE
    taken = node.acquire(THEIRS)
    assert taken.word is Word.TAKEN
    assert taken.record is not None
    assert taken.record.claim == OURS
    assert node.renew(OURS).word is Word.LOST


def test_one_of_a_dead_process_is_taken_over_by_name(node: NodeFolder) -> None:
    node.acquire(OURS)
    assert node.acquire(THEIRS, instead="somebody-else").word is Word.HELD
    assert node.acquire(THEIRS, instead=OURS.token).word is Word.TAKEN


def test_renewing_keeps_when_it_was_acquired(node: NodeFolder) -> None:
    node.acquire(OURS, lease=5)
    before = node.show().record
    assert node.renew(OURS).word is Word.GRANTED
    after = node.show().record
    assert before is not None
    assert after is not None
    assert after.acquired == before.acquired
    assert after.expires > before.expires


def test_a_broken_lock_is_lost_not_renewed(node: NodeFolder) -> None:
    node.acquire(OURS)
    node.release(OURS)
    assert node.renew(OURS).word is Word.LOST


def test_garbage_in_the_folder_does_not_lock_for_ever(node: NodeFolder) -> None:
    node.acquire(OURS)
    (node.folder / "lock.json").write_text("garbage\n")
    assert node.show().word is Word.FREE
    assert node.acquire(THEIRS).word in (Word.GRANTED, Word.TAKEN)


def test_many_at_once_have_one_winner(tmp_path: Path) -> None:
    folder = tmp_path / "lock"
    claims = [Claim(f"run-{n}", f"operator {n}", "up", "m", f"{n}@1") for n in range(12)]
    started = []
    for claim in claims:
        argv = lock_shell.acquire(claim.token, 60, claim.head())
        local = [str(folder) if word == lock_shell.FOLDER else word for word in argv]
        process = subprocess.Popen(
            local, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
    said = [parse_answer(process.communicate(lock_shell.SCRIPT)[0]) for process in started]
    assert [answer.word for answer in said].count(Word.GRANTED) == 1
    assert [answer.word for answer in said].count(Word.HELD) == len(claims) - 1
