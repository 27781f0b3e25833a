"""Webhook signatures as Standard Webhooks has them, by our own code and by what the page tells."""

import base64
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from trust.errors import InvalidWebhookSecret
from trust.hidden import Hidden
from trust.webhooks import headers, new_text, parse, rotated

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "webhooks.md"
OLD, NEW = new_text(lambda size: b"o" * size), new_text(lambda size: b"n" * size)
BODY = b'{"data":{"text":"caf\xc3\xa9"},"type":"webhook.test"}'
# What the page's code says of each message: whether it gave back the body.
PYTHON_MAIN = """
import json, sys
def accepts(given):
    try:
        body = given["body"].encode()
        return verified(given["secrets"], given["headers"], body) == body
    except ValueError:
        return False
print(json.dumps([accepts(each) for each in json.load(sys.stdin)]))
"""
NODE_MAIN = """
const accepts = (given) => {
  try {
    const body = verified(given.secrets, given.headers, Buffer.from(given.body));
    return body.toString() === given.body;
  } catch { return false; }
};
console.log(JSON.stringify(JSON.parse(require("node:fs").readFileSync(0, "utf8")).map(accepts)));
"""
Case = tuple[str, dict[str, str], bytes]


def told(language: str) -> str:
    """The page's code in that language."""
    [code] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(code)


@pytest.fixture(params=["python", "js"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The command that runs the page's code as it stands."""
    if request.param == "python":
        (tmp_path / "receiver.py").write_text(told("python") + PYTHON_MAIN)
        return [sys.executable, "-I", str(tmp_path / "receiver.py")]
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js here to run the page's code with")
    (tmp_path / "receiver.cjs").write_text(told("js") + NODE_MAIN)
    return [node, str(tmp_path / "receiver.cjs")]


def accepts(receiver: list[str], cases: Sequence[Case]) -> list[bool]:
    """What the receiver says of each message: its secrets, the fields, the body."""
    given = [
        {"secrets": secrets.split(), "headers": fields, "body": body.decode()}
        for secrets, fields, body in cases
    ]
    done = subprocess.run(
        receiver, input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[bool] = json.loads(done.stdout)
    return found


def test_the_vector_of_the_specification() -> None:
    """The published example; its secret has 24 bytes, ours have 32."""

    class Short(Hidden):
        def __init__(self, value: bytes) -> None:
            self._value = value

    secret = Short(base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    found = headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_pages_code_takes_what_is_signed_and_nothing_else(receiver: list[str]) -> None:
    now = int(time.time())
    good = headers(parse(NEW), "id-1", now, BODY)
    refused = {
        "another body": (good, BODY.replace(b"test", b"nest")),
        "another id": ({**good, "webhook-id": "id-2"}, BODY),
        "another time": ({**good, "webhook-timestamp": str(now - 1)}, BODY),
        "sent again an hour later": (headers(parse(NEW), "id-1", now - 3600, BODY), BODY),
        "of the future": (headers(parse(NEW), "id-1", now + 3600, BODY), BODY),
        "another secret": (headers(parse(OLD), "id-1", now, BODY), BODY),
        "no signature": ({**good, "webhook-signature": ""}, BODY),
        "another version": (
            {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v0,")},
            BODY,
        ),
        "no fields": ({}, BODY),
    }
    cases = [(NEW, good, BODY), *((NEW, *given) for given in refused.values())]
    taken, *others = accepts(receiver, cases)
    assert taken
    assert dict(zip(refused, others, strict=True)) == dict.fromkeys(refused, False)


def test_while_a_secret_changes_both_sides_may_have_either(receiver: list[str]) -> None:
    both = rotated(OLD, NEW)
    now = int(time.time())
    sent = headers(parse(both), "id-1", now, BODY)
    assert len(sent["webhook-signature"].split()) == 2
    # The last: a receiver that was given both, and a sender that has not heard of the new one.
    late = headers(parse(OLD), "id-1", now, BODY)
    cases = [*((text, sent, BODY) for text in (OLD, NEW, both)), (both, late, BODY)]
    assert accepts(receiver, cases) == [True] * 4


def test_a_rotation_ends_the_secret_before_the_last() -> None:
    third = new_text(lambda size: b"3" * size)
    text = rotated(rotated(OLD, NEW), third)
    assert parse(text) == (*parse(third), *parse(NEW))


@pytest.mark.parametrize(
    "text",
    ["", "abc", "whsec_", "whsec_AAAA", OLD[:-1], OLD.replace("whsec_", ""), f"{OLD} {OLD} {OLD}",
     f"{OLD} x", OLD.replace("b", "*")],
)  # fmt: skip
def test_what_is_no_secret_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidWebhookSecret) as refused:
        parse(text)
    assert len(text) < 10 or text not in str(refused.value)
