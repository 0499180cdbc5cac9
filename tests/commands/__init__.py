"""Tests of the commands: each option, with what a user expects of it.

What is here are other names of runners and builders, for tests that have not been changed to the new ones yet.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import CALL, ECHO, RESPONSE, header, mixed, turn
from tests.builders import failure as failed
from tests.builders import request as asked
from tests.builders import response as told
from tests.builders import write_session as write
from tests.support import InProcess


class Here(InProcess):
    """The program in this process and in the directory of the test."""

    def __init__(self, capture: pytest.CaptureFixture[bytes]) -> None:
        super().__init__(Path(), capture)


__all__ = [
    "CALL",
    "ECHO",
    "RESPONSE",
    "Here",
    "asked",
    "failed",
    "header",
    "mixed",
    "told",
    "turn",
    "write",
]
