"""The whole exchange on one machine, with everybody played: run by bin/demo, which sets the environment up first.

Reads the command line; what happens then is in `demo_flow`.
"""

from __future__ import annotations

import argparse
import sys

from demo_signals import Signals


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bin/demo",
        description="Set the exchange up on this machine, play everybody who takes part, and show what became of "
        "every message. SWX_AMQP_URL: use this broker instead of a private RabbitMQ.",
        epilog="Exit codes: 0 every message ended as expected, 1 some did not, 2 no demo is possible here.",
    )
    parser.add_argument("--keep", action="store_true", help="leave broker and daemon running, and say what to try")
    parser.add_argument("--stop", action="store_true", help="end what --keep left running")
    parser.add_argument(
        "--messages", type=_count, default=200, metavar="N", help="ordinary cargo declarations on top (default: 200)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, all else on stderr")
    return parser.parse_args()


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return int(text)


def main() -> int:
    """The exit code of bin/demo."""
    signals = Signals()
    signals.handle()
    arguments = _arguments()
    # Late, so that signals are handled from the first moment on.
    from demo_flow import Options, play, stop  # noqa: PLC0415
    from demo_trouble import FAILED, Trouble  # noqa: PLC0415

    from swexchange.errors import Fault  # noqa: PLC0415

    try:
        if arguments.stop:
            return stop(signals)
        return play(Options(arguments.keep, arguments.messages, arguments.json), signals)
    except Trouble as trouble:
        print(f"bin/demo: {trouble}", file=sys.stderr)
        return trouble.code
    except Fault as fault:
        print(f"bin/demo: {fault}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
