"""`swexchange keys`: make a key pair, list the registered keys."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from swexchange import keyfile
from swexchange.cli.output import emit, table
from swexchange.cli.root import cli
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.core.keys import Key, SigningKey
from swexchange.rules.load import load_parties
from swexchange.settings import Settings


@cli.group()
def keys() -> None:
    """Make and list signing keys."""


@keys.command()
@click.argument("key_id")
@click.pass_obj
def new(settings: Settings, key_id: str) -> None:
    """Make an Ed25519 key: the private half goes into the keys folder, the public half is printed.

    The printed line belongs under `keys:` of its participant in routes.yaml. Give each key an id
    of its own, such as the participant's id and a year; ids are never used again.

    \b
    Example:
      swexchange keys new DXPENT0000012345-2027
    """
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}", key_id):
        raise click.BadParameter("1-80 letters, digits, '.', '_' or '-', the first no '.'", param_hint="KEY_ID")
    key = keyfile.new(key_id, Path(settings.keys))
    click.echo(_line(key))
    click.echo(f"private key: {Path(settings.keys) / key_id}.key (keep it secret, keep a copy)", err=True)


@keys.command()
@click.argument("key_id")
@click.pass_obj
def public(settings: Settings, key_id: str) -> None:
    """Print the public half of a private key of the keys folder, as `keys new` did.

    \b
    Example:
      swexchange keys public platform-2026
    """
    click.echo(_line(keyfile.load(key_id, settings.key_folders)))


@keys.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def list_(settings: Settings, as_json: bool) -> None:
    """List the registered public keys: whose, in force from when to when, and how each stands now.

    \b
    Example:
      swexchange keys list --json
    """
    _, registered = load_parties(Path(settings.routes))
    rows = [_row(key, utc_now()) for key in registered.values()]
    emit(rows, as_json, lambda: table([tuple(rows[0]), *(tuple(row.values()) for row in rows)]))


def _line(key: SigningKey) -> str:
    public_half = base64.b64encode(key.public).decode()
    return f'{{id: {key.id}, public: "{public_half}", from: {local_time(utc_now())[:10]}}}'


def _row(key: Key, now: datetime) -> dict[str, Any]:
    return {
        "participant": key.participant,
        "key": key.id,
        "from": local_time(key.valid_from),
        "to": local_time(key.valid_to) if key.valid_to else "-",
        "revoked": local_time(key.revoked_at) if key.revoked_at else "-",
        "public": base64.b64encode(key.public).decode(),
        "now": key.trouble(now) or "in force",
    }
