"""Secrets in files, readable by their owner alone: private keys `<key id>.key`, the seed in base64, and others."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from pathlib import Path

from swexchange.core.keys import SigningKey
from swexchange.durable import create_file, sync
from swexchange.errors import ConfigFault


def load(key_id: str, folders: Sequence[Path]) -> SigningKey:
    """The key of this id in the first folder that has it. Raises ConfigFault."""
    if path := find(f"{key_id}.key", folders):
        return read(path)
    where = " or ".join(str(folder) for folder in folders)
    raise ConfigFault(
        f"no private key {key_id}.key in {where}", do=f"Make one with `swexchange keys new {key_id}`, or set SWX_KEYS"
    )


def find(name: str, folders: Sequence[Path]) -> Path | None:
    """The secret file of this name in the first folder that has it. Raises ConfigFault where we may not look."""
    return next((path for folder in folders if _is_there(path := folder / name)), None)


def read(path: Path) -> SigningKey:
    """The key in a file; its id is the file's name. Raises ConfigFault."""
    try:
        seed = base64.b64decode(text(path), validate=True)
    except binascii.Error as error:
        raise ConfigFault(f"cannot read the private key: {error}", where=str(path)) from None
    if len(seed) != 32:
        raise ConfigFault(f"the seed has {len(seed)} bytes, not 32", where=str(path))
    return SigningKey.from_seed(path.stem, seed)


def loose(folders: Sequence[Path]) -> list[Path]:
    """Private keys in these folders that others may read or change. Raises ConfigFault."""
    return [path for folder in folders for path in sorted(folder.glob("*.key")) if _is_there(path) and _is_loose(path)]


def text(path: Path) -> str:
    """The text of a secret file, stripped. Raises ConfigFault, also where others may read it."""
    try:
        if _is_loose(path):
            raise ConfigFault("others may read or change this secret", where=str(path), do=f"chmod 600 {path}")
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigFault(f"cannot read the secret: {error}", where=str(path)) from None


def _is_there(path: Path) -> bool:
    """Whether there is such a file; a link that leads nowhere is none. Raises ConfigFault where one may not look."""
    try:
        return path.is_file()
    except OSError as error:
        do = "Run this as root, or give the user access to its folder"
        raise ConfigFault(f"cannot look for {path}: {error.strerror}", do=do) from None


def _is_loose(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o027)  # systemd shows a credential to its group too


def new(key_id: str, folder: Path) -> SigningKey:
    """Make a key and write it, whole or not at all; never over an existing one. Raises ConfigFault."""
    path = folder / f"{key_id}.key"
    seed = os.urandom(32)
    try:
        create_file(path, base64.b64encode(seed) + b"\n")
        sync(folder)  # its public half is printed next, and handed out
    except FileExistsError:
        if not folder.is_dir():
            raise ConfigFault("this is no folder", where=str(folder), do="Set SWX_KEYS to one") from None
        do = f"Choose another id; `swexchange keys public {key_id}` prints its public half"
        raise ConfigFault("this key exists already", where=str(path), do=do) from None
    except OSError as error:
        raise ConfigFault(f"cannot write the key: {error.strerror}", where=str(path)) from None
    return SigningKey.from_seed(key_id, seed)
