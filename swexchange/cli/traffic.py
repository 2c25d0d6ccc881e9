"""`swexchange send` and `receive`: what a participant does, by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from lxml import etree

from swexchange.broker import Outlet
from swexchange.broker.client import Mailbox, Received, submissions
from swexchange.broker.topology import inbox, receipts
from swexchange.cli import exits
from swexchange.cli.output import emit, file_bytes, say, table
from swexchange.cli.root import cli
from swexchange.cli.wiring_broker import server
from swexchange.core.canonical import DXP
from swexchange.core.model import Fate
from swexchange.core.parse import parse
from swexchange.durable import create_file
from swexchange.errors import ConfigFault, Rejected
from swexchange.settings import Settings

LONGEST_NAME = 120  # characters of a file's name that is an id as it is
_SAID = {
    Fate.CONFIRMED: "the broker has it",
    Fate.RETURNED: "no queue takes it: is the topology declared?",
    Fate.REFUSED: "the broker refused it: its queue is full",
    Fate.UNKNOWN: "no answer: perhaps sent; sending it again is safe",
}


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False))
@click.option("--as", "participant", required=True, help="The participant that sends.")
@click.pass_obj
def send(settings: Settings, files: tuple[str, ...], participant: str) -> None:
    """Send signed messages to the participant's outbox and wait for the broker's confirms.

    FILES are sent as they are, byte for byte. Sending the same bytes again is safe: it brings the
    same receipt again and nothing else.

    \b
    Example:
      swexchange send signed.xml --as DXPENT0000012345
    """
    bodies = [file_bytes(file) for file in files]
    with Outlet(server(settings), settings.confirm_seconds) as outlet:
        fates = outlet.publish_raw(submissions(participant, bodies))
    table([(str(fate), file, _SAID[fate]) for file, fate in zip(files, fates, strict=True)])
    raise SystemExit(exits.DONE if set(fates) <= {Fate.CONFIRMED} else exits.PROBLEMS)


@cli.command()
@click.option("--as", "participant", required=True, help="The participant that reads.")
@click.option("--inbox", "from_inbox", is_flag=True, help="Messages and answers; default: the platform's receipts.")
@click.option("--max", "most", default=100, show_default=True, type=click.IntRange(1), help="Read this many at most.")
@click.option("--wait", default=2.0, show_default=True, help="Seconds to wait for another one.")
@click.option(
    "--save", type=click.Path(file_okay=False), help="Write each message into a file of its own in this folder."
)
@click.option("--peek", is_flag=True, help="Leave the messages in the queue.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def receive(settings: Settings, /, participant: str, most: int, save: str | None, peek: bool, **how: Any) -> None:
    """Read a participant's queue: receipts, or with --inbox messages; one line each.

    A message leaves the queue only after it was printed and saved. Exit code 1: nothing came.

    \b
    Examples:
      swexchange receive --as DXPENT0000012345
      swexchange receive --as DXPEDCDEC0000001 --inbox --save in/ --max 10
    """
    queue = inbox(participant) if how["from_inbox"] else receipts(participant)
    rows: list[dict[str, Any]] = []
    with Mailbox(server(settings), queue, prefetch=min(most, 1000)) as mailbox:
        while len(rows) < most and (taken := mailbox.read(most - len(rows), 2**26, how["wait"])):
            rows += [_row(received, save) for received in taken]
            if not peek:
                mailbox.ack_through(taken[-1].tag)
    emit(rows, how["as_json"], lambda: _print(rows))
    if not rows:
        click.echo(f"nothing came from {queue}", err=True)
    raise SystemExit(exits.DONE if rows else exits.PROBLEMS)


def _print(rows: list[dict[str, Any]]) -> None:
    if rows:
        names = [name for name in rows[0] if name != "findings"]
        table([names, *([str(row[name]) for name in names] for row in rows)])
    for row in rows:
        for finding in row["findings"]:
            say(f"  {row['about']}: " + "  ".join(part for part in finding.values() if part))


def _row(received: Received, folder: str | None) -> dict[str, Any]:
    findings = list(_findings(received.body)) if received.type == "DxpRep" else []
    return {
        "id": received.message_id,
        "type": received.type,
        "about": received.correlation_id,
        "exchange": received.exchange_id,
        "bytes": len(received.body),
        "code": findings[0]["code"] if findings else "",
        "file": _save(received, Path(folder)) if folder else "",
        "findings": [f for f in findings if f["code"] != "0000"],
    }


def _save(received: Received, folder: Path) -> str:
    """Write a message into a file of its own, and never over other bytes; its path. Raises ConfigFault."""
    content = hashlib.sha256(received.body).hexdigest()
    name = _file_name(received.message_id)
    try:
        # The second, where the first holds other bytes: the publisher gave one id twice, or none.
        for path in (folder / f"{name}.xml", folder / f"{name}={content}.xml"):
            if _is_saved(path, received.body):
                return str(path)
    except OSError as error:
        raise ConfigFault(f"cannot save into {folder}: {error.strerror}", do="The message stays in the queue") from None
    raise ConfigFault(
        "the file holds something else", where=str(path), do="Move it away; the message stays in the queue"
    )


def _is_saved(path: Path, content: bytes) -> bool:
    """Whether a file holds these bytes now. Raises OSError."""
    try:
        create_file(path, content, secret=False)
    except FileExistsError:  # perhaps by us: the message was delivered again
        return path.read_bytes() == content
    return True


def _file_name(message_id: str) -> str:
    """A name that no other id has and that cannot lead out of a folder: ids come from outside.

    A quoted one never has '=', which marks what is no id, or the digest of a long one.
    """
    quoted = quote(message_id, safe="").replace(".", "%2E") or "=no-id"
    return quoted if len(quoted) <= LONGEST_NAME else f"{quoted[:60]}={hashlib.sha256(quoted.encode()).hexdigest()}"


def _findings(body: bytes) -> Iterator[dict[str, str]]:
    try:
        root = parse(body, 2**26).root
    except Rejected:
        return
    for response in root.iterfind(f"{{{DXP}}}Response"):
        yield {
            "code": _text(response, "ResponseCode"),
            "info": _text(response, "ResponseInfo"),
            "note": _text(response, "Note"),
        }


def _text(response: etree._Element, name: str) -> str:
    return response.findtext(f"{{{DXP}}}{name}", "")
