"""Templates: values in, text out, and no silent gaps."""

import pytest

from deploys.errors import TemplateError
from deploys.templates import render


def test_a_value_is_put_in() -> None:
    assert "fedop ALL=" in render("sudoers.j2", user="fedop")


def test_a_value_that_was_not_given_is_an_error() -> None:
    with pytest.raises(TemplateError, match="user"):
        render("sudoers.j2")


def test_a_template_that_is_not_there_is_named() -> None:
    with pytest.raises(TemplateError, match=r"nothing\.conf"):
        render("nothing.conf")
