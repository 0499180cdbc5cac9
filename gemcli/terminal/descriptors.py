"""Standard output and standard error, as far as the system knows them. Nothing else writes to them.

Bytes go straight to the descriptor: no buffer is left whose writing could fail later.
"""

from __future__ import annotations

import os
import select
import time

from gemcli.errors import GemcliError

STDOUT, STDERR = 1, 2

FEWEST, USUAL = 20, 80
"""Columns of a terminal: those that it has at least, and those of one that does not say."""


def is_terminal(fd: int) -> bool:
    """Whether a person may look at it."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


def is_in_front(fd: int) -> bool:
    """Whether this program has the terminal, and was not sent into the background."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # it is not the terminal that controls this program
        return True


def columns(fd: int) -> int:
    """How wide it is."""
    try:
        return max(FEWEST, os.get_terminal_size(fd).columns or USUAL)
    except OSError:
        return USUAL


def write_all(fd: int, data: bytes) -> None:
    """Write all of it, however long the reader takes. Raises `OSError`."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # O_NONBLOCK is set on the pipe itself, perhaps by another process
            select.select([], [fd], [])


def write_within(seconds: float, fd: int, data: bytes) -> bool:
    """Write what the reader takes within `seconds`; returns whether that was all of it."""
    view, until = memoryview(data), time.monotonic() + seconds
    while view and select.select([], [fd], [], max(0.0, until - time.monotonic()))[1]:
        try:
            # A pipe that is ready takes PIPE_BUF bytes; more could block.
            view = view[os.write(fd, view[: select.PIPE_BUF]) :]
        except BlockingIOError:  # another writer has filled the pipe meanwhile
            if time.monotonic() >= until:
                break
    return not view


def write_ready(fd: int, data: bytearray, seconds: float) -> None:
    """Write what the reader takes, and take it off; wait at most `seconds` for each piece."""
    try:
        while data and select.select([], [fd], [], seconds)[1]:
            # A pipe that is ready takes PIPE_BUF bytes; more could block.
            del data[: os.write(fd, data[: select.PIPE_BUF])]
    except BlockingIOError:  # another writer has filled the pipe meanwhile
        return


def not_printed(error: OSError) -> GemcliError:
    """The error of a result that could not be printed."""
    return GemcliError("NOT_PRINTED", f"cannot write to standard output: {error.strerror}")
