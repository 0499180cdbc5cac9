"""The request behind the last answer: a whole generateContent body, or a curl command for it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from gemcli.chat.contents import Content
from gemcli.errors import GemcliError
from gemcli.formats import Header


def dump(history: Sequence[Content], header: Header) -> dict[str, object]:
    """The body of the last answered request. Raises `GemcliError` (NOT_EXPRESSIBLE) if none is."""
    contents = list(history)
    while contents and contents[-1]["role"] != "user":
        contents.pop()
    if not contents:
        what = "the history is empty, so there is no request"
        raise GemcliError("NOT_EXPRESSIBLE", what, hint="send a message first")
    return {"contents": contents, **header["config"]}


def curl(request: Mapping[str, Any], *, credentials: bool) -> str:
    """A shell command that sends `request` (`url` and `body`) with the key in the environment.

    With `credentials` it uses those of Google Cloud instead of a key. The key comes by descriptor 3
    and the body by standard input: arguments have a size limit, and every user of the machine can
    read them. The body is one line, so it cannot hold the line that ends it, and ASCII, so that
    every text survives.
    """
    authentication = "x-goog-api-key: ${GOOGLE_API_KEY:-$GEMINI_API_KEY}"
    if credentials:
        authentication = "Authorization: Bearer $(gcloud auth print-access-token)"
    body = json.dumps(request["body"], separators=(",", ":"), allow_nan=False)
    lines = [
        f"curl --silent --show-error {shlex.quote(request['url'])} \\",
        '  --header @/dev/fd/3 --header "Content-Type: application/json" \\',
        "  --data-binary @- 3<<KEY <<'END'",
        authentication,
        "KEY",
        body,
        "END",
    ]
    return "".join(f"{line}\n" for line in lines)
