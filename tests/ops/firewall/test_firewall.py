"""roles/firewall.py against a simulated node: guarded, loaded, and put back when touched."""

from pathlib import Path
from typing import Any

from deploys.firewall_rules import PATH
from deploys.roles.firewall import LOAD, firewall
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan


class Kernel:
    """What firewall_state looks at: the rules loaded last."""

    def __init__(self) -> None:
        self.state = "missing"
        self.node = SimulatedNode(scripts={"firewall_state": self.look})
        play = self.node._guard_apply
        self.node.scripts["guard_apply"] = lambda argument: self.guarded(play, argument)

    def look(self, argument: dict[str, str]) -> dict[str, str]:
        assert argument["path"] == PATH
        return {"state": self.state}

    def guarded(self, play: Any, argument: dict[str, Any]) -> None:
        assert argument["check"] == f"nft -c -f {PATH}"
        assert argument["apply"] == argument["undo"] == LOAD
        play(argument)
        self.state = "loaded"


def test_rules_are_checked_loaded_under_guard_and_then_left_alone(tmp_path: Path) -> None:
    kernel, given = Kernel(), context(tmp_path)
    done = apply(firewall, given, kernel.node)
    assert done.index(f"check: nft -c -f {PATH}") < done.index(f"apply: {LOAD}")
    assert done[-2:] == ["enable nftables.service", "start nftables.service"]
    assert "policy drop" in kernel.node.text(PATH)
    assert apply(firewall, given, kernel.node) == []


def test_rules_flushed_by_hand_are_loaded_again_without_a_guard(tmp_path: Path) -> None:
    kernel, given = Kernel(), context(tmp_path)
    apply(firewall, given, kernel.node)
    kernel.state = "changed"
    pending = plan(firewall, given, kernel.node)
    assert [str(c) for c in pending["Firewall: loaded"]] == ["put back table inet federation"]
    assert apply(firewall, given, kernel.node) == [LOAD]


def test_a_plan_shows_the_rules_as_a_diff(tmp_path: Path) -> None:
    kernel, given = Kernel(), context(tmp_path)
    apply(firewall, given, kernel.node)
    text = kernel.node.text(PATH)
    kernel.node.has_file(PATH, text.replace("tcp dport 22 ", "tcp dport 2222 "), mode=0o755)
    (change,) = plan(firewall, given, kernel.node)["Firewall: rules"]
    assert "+" in change.diff
    assert "tcp dport 22 accept" in change.diff
