"""What an application replies.

A status, headers, and the steps of a body, which the mounts act out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from gemcli.text import strict_json

JSON = "application/json; charset=UTF-8"
"""The content type of JSON, as the API writes it."""


@dataclass(frozen=True)
class Cut:
    """A broken connection: `reset` by the peer, or `close`d before the body was complete."""

    how: Literal["reset", "close"] = "reset"


Step = bytes | float | Cut
"""Bytes to send, seconds to pause, or a broken connection, which ends the reply."""


class Reply(NamedTuple):
    """What goes back to the client.

    The head (status and headers) goes out with the first bytes: pauses and cuts before them happen
    before the client has seen anything, and `b""` sends the head alone.
    """

    status: int
    headers: Mapping[str, str]
    steps: tuple[Step, ...]


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply with `value` as its JSON body, sent at once."""
    return Reply(status, {"content-type": JSON} | dict(headers or {}), (strict_json.encode(value),))
