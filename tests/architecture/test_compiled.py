"""The two rules for what is compiled; gateway/compiled.py says what they are for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.compiled import MODULES, is_compiled

REPOSITORY = Path(__file__).parents[2]
SUSPENDS = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def waits(source: str) -> list[int]:
    """The lines that give way to other tasks while an exception is being handled."""
    return sorted(line for node in ast.walk(ast.parse(source)) for line in _handling(node))


def _handling(node: ast.AST) -> Iterator[int]:
    if isinstance(node, (ast.Try, ast.TryStar)):
        for part in (*node.handlers, *node.finalbody):
            yield from _suspending(part)


def _suspending(node: ast.AST) -> Iterator[int]:
    if isinstance(node, SUSPENDS):
        yield node.lineno  # type: ignore[attr-defined]
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, FUNCTIONS):
            yield from _suspending(child)


def shared(source: str) -> set[str]:
    """The names that a `finally` reads and its `try` assigns."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Try, ast.TryStar)):
            last = ast.Module(node.finalbody, [])
            before = ast.Module([*node.body, *node.handlers, *node.orelse], [])  # type: ignore[list-item]
            read = _names(last, ast.Load) - _names(last, ast.Store)
            found |= read & _names(before, ast.Store)
    return found


def _names(node: ast.AST, context: type[ast.expr_context]) -> set[str]:
    return {
        ast.unparse(each)
        for each in ast.walk(node)
        if isinstance(each, (ast.Name, ast.Attribute)) and isinstance(each.ctx, context)
    }


@pytest.mark.parametrize("module", MODULES)
def test_an_end_reads_nothing_that_may_not_have_been_assigned(module: str) -> None:
    source = (REPOSITORY / f"{module.replace('.', '/')}.py").read_text()
    assert shared(source) == set()


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_awaited_while_an_exception_is_handled(module: str) -> None:
    source = (REPOSITORY / f"{module.replace('.', '/')}.py").read_text()
    assert waits(source) == []


def test_the_rule_sees_what_it_forbids() -> None:
    handler = "async def f():\n try:\n  g()\n except E:\n  await h()\n  raise\n"
    ending = "async def f():\n try:\n  g()\n finally:\n  async with h:\n   pass\n"
    inner = "async def f():\n try:\n  g()\n except E:\n  async def h():\n   await i()\n"
    body = "async def f():\n try:\n  await g()\n except E:\n  pass\n"
    assert (waits(handler), waits(ending)) == ([5], [5])
    assert waits(inner) == waits(body) == []


def test_the_other_rule_sees_what_it_forbids() -> None:
    assert shared("try:\n a = f()\nfinally:\n g(a)\n") == {"a"}
    assert shared("try:\n b.a = f()\nfinally:\n g(b.a)\n") == {"b.a"}
    assert shared("try:\n a = f()\nfinally:\n for a in c:\n  g(a)\n") == set()
    assert shared("try:\n a = f()\nfinally:\n b.a = None\n") == set()


def test_a_checkout_is_not_compiled() -> None:
    assert not is_compiled()
