"""Formats that a history comes in and goes out in; they know Contents and turns, not sessions.

`dump(history, header)` of each gives text, or a JSON value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from gemcli.settings.config import Config


class Header(TypedDict):
    """What formats show of a session besides its history."""

    model: str
    config: Config
