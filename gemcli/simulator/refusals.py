"""What the simulator says when it will not answer: the error form of Google's APIs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HTTP_CODES = {
    "INVALID_ARGUMENT": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "UNIMPLEMENTED": 501,
}
"""HTTP status by google.rpc name, for every status the simulator gives of its own accord."""


class Refused(Exception):
    """A request the API would not answer: its google.rpc status, its words, and perhaps typed details.

    An answer like any other to the client; no failure of the simulator.
    """

    def __init__(self, status: str, message: str, details: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = list(details)

    @property
    def code(self) -> int:
        """The HTTP status."""
        return HTTP_CODES[self.status]

    def body(self) -> dict[str, Any]:
        """The error as the API sends it."""
        error = {"code": self.code, "message": self.message, "status": self.status}
        return {"error": error | ({"details": self.details} if self.details else {})}


def invalid(message: str) -> Refused:
    """The refusal that the API gives for most things: a request that breaks a rule."""
    return Refused("INVALID_ARGUMENT", message)
