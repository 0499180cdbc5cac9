"""`python -m gemcli`, and the program `gemcli`."""

from __future__ import annotations

import signal
from typing import NoReturn


def run() -> NoReturn:
    """Run the program. Ctrl-C ends it at once and silently until `cli` handles signals."""
    # Otherwise Python prints where in the imports it was. Ignored ones (nohup) stay ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from gemcli import cli

    cli.run()


if __name__ == "__main__":
    run()
