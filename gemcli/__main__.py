"""Where the programs begin: `gemcli`, which is also `python -m gemcli`, and `gemcli-simulator`."""

from __future__ import annotations

import signal
from typing import NoReturn


def run() -> NoReturn:
    """Run the program `gemcli`."""
    _let_ctrl_c_end_it()
    from gemcli import cli

    cli.run()


def run_simulator() -> int:
    """Run the program `gemcli-simulator`, and return its exit status."""
    _let_ctrl_c_end_it()
    from gemcli.simulator.__main__ import run

    return run()


def _let_ctrl_c_end_it() -> None:
    """Let Ctrl-C end the program at once and silently, until the program handles it."""
    # Otherwise Python prints where in the imports it was. What is ignored (nohup) stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    run()
