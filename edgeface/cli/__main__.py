"""`python -m edgeface.cli` is the `edgeface` command."""

from edgeface.cli import main

main()
