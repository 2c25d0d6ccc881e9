"""The parts of the reference pages that are written by the code: `python -m tests.reference` renews them.

A page holds each between `<!-- from the code: NAME -->` and `<!-- end -->`; tests/test_docs.py
compares. Everything else in the pages is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
from lxml import etree

from swexchange.cli import cli
from swexchange.core import codes
from swexchange.core.decide import decide
from swexchange.core.model import Delivery
from swexchange.core.rulebook import Check, Edition, Rulebook
from swexchange.schemas.compiled import Schemas
from swexchange.schemas.explainer import Explainer
from tests import world

PAGES = Path(__file__).parent.parent / "docs" / "reference"
WIDTH = 100  # columns of help texts
_SECTION = re.compile(r"(<!-- from the code: ([a-z-]+) -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)


def renewed(page: str) -> str:
    """The text of a page with every section as the code has it now."""
    return _SECTION.sub(lambda found: f"{found[1]}{SECTIONS[found[2]]()}\n{found[3]}", page)


def code_table() -> str:
    """Every code with its retry class and its meaning in two languages."""
    rows = [f"| `{code}` | {m.retry} | {m.zh} | {m.en} |" for code, m in sorted(codes.MEANINGS.items())]
    return "\n".join(["| Code | Retry | 中文 | English |", "|---|---|---|---|", *rows])


def command_help() -> str:
    """Every command with its help text."""
    return "\n\n".join(f"## {name}\n\n```text\n{text}\n```" for name, text in _helps(cli, None, "swexchange"))


def _helps(command: click.Command, parent: click.Context | None, name: str) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command, parent, name, terminal_width=WIDTH, max_content_width=WIDTH, help_option_names=["-h", "--help"]
    )
    yield context.command_path, command.get_help(context).rstrip()
    if isinstance(command, click.Group):
        for inner, child in sorted(command.commands.items()):
            if not child.hidden:
                yield from _helps(child, context, inner)


def receipt_accepted() -> str:
    """The receipt of an accepted declaration."""
    return _receipt(world.declared(), world.rulebook())


def receipt_two_receivers() -> str:
    """The receipt of a message with two receivers, one of them unknown."""
    elsewhere = world.declaration(customs="2225")
    message = world.dxp_msg(elsewhere, "MSG-0002", receivers=(world.CUSTOMS, "DXPENT0000099999"))
    return _cut(_receipt(world.delivery(world.signed(message)), world.rulebook()))


def receipt_refused() -> str:
    """The receipt of a refused declaration, in the words of the slow engine."""
    broken = world.declaration(bill="").replace(b"<GNo>1</GNo>", b"")
    delivery = world.delivery(world.signed(world.dxp_msg(broken, "MSG-0003")))
    with Explainer(deadline=60) as explainer:
        schemas = Schemas(world.SCHEMAS, explainer)
        check = schemas.edition("dec/4.9.7", ["DecMessage.xsd"])
        schemas.compile()
        return _cut(_receipt(delivery, _checking(check)))


def _checking(check: Check) -> Rulebook:
    edition = Edition("dec/4.9.7", check, world.ALWAYS)
    types = {root: replace(kind, editions=(edition,)) for root, kind in world.message_types().items()}
    return world.rulebook(types=types)


def _receipt(delivery: Delivery, rules: Rulebook) -> str:
    receipt = decide(delivery, rules, world.NOW).receipt
    assert receipt is not None
    root = etree.fromstring(receipt.body)
    etree.indent(root)
    return f"```xml\n{etree.tostring(root, encoding='unicode')}\n```"


def _cut(text: str) -> str:
    """Without the signature, which looks as in the first example."""
    return re.sub(r"<ds:Signature .*</ds:Signature>", "<ds:Signature>...</ds:Signature>", text, flags=re.DOTALL)


SECTIONS: dict[str, Callable[[], str]] = {
    "codes": code_table,
    "commands": command_help,
    "receipt-accepted": receipt_accepted,
    "receipt-refused": receipt_refused,
    "receipt-two-receivers": receipt_two_receivers,
}


def main() -> None:
    """Renew every page."""
    for path in sorted(PAGES.glob("*.md")):
        page = path.read_text("utf-8")
        if page != renewed(page):
            path.write_text(renewed(page), "utf-8")


if __name__ == "__main__":
    main()
