"""`python -m swexchange` is the `swexchange` command."""

from swexchange.cli import main

main()
