"""Who does what is done by hand: what stands in records of releases, replays and given-up copies."""

from __future__ import annotations

import getpass
import os
import socket


def operator() -> str:
    """Who is at the keyboard, user@machine; behind sudo, who called it, as whom.

    Both, since anybody can set SUDO_USER: the user that the process runs as stands there whatever it says.
    """
    caller = os.environ.get("SUDO_USER")
    return f"{f'{caller} as ' if caller else ''}{_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        return f"uid {os.getuid()}"
