"""Who is recorded for what is done by hand."""

from __future__ import annotations

import ast
import getpass
import socket
from pathlib import Path

import pytest

from swexchange.cli.operator import operator

CLI = Path(__file__).parents[2] / "swexchange" / "cli"


def test_user_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert operator() == f"{getpass.getuser()}@{socket.gethostname()}"


def test_behind_sudo_who_called_it_as_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "li.na")
    assert operator() == f"li.na as {getpass.getuser()}@{socket.gethostname()}"


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 1234)
    assert operator() == f"uid 1234@{socket.gethostname()}"


def test_nobody_else_asks_who_it_is() -> None:
    """One function for releases, replays and given-up copies: their records are read side by side."""
    asking = {
        path.name
        for path in CLI.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import) and any(alias.name == "getpass" for alias in node.names)
    }
    assert asking == {"operator.py"}
