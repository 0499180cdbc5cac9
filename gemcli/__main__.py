"""`python -m gemcli`."""

from gemcli.cli import run

run()
