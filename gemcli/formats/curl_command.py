"""A request as a curl command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any


def dump(
    request: Mapping[str, Any], *, credentials: bool = False, key_file: str | None = None
) -> str:
    """A shell command that sends `request` (`url` and `body`) with the key in the environment.

    Without one there it takes the key in `key_file`, if there is such a file. With `credentials` it
    uses those of Google Cloud instead of a key. The key comes by descriptor 3
    and the body by standard input: arguments have a size limit, and every user of the machine can
    read them. The body is one line, so it cannot hold the line that ends it, and ASCII, so that
    every text survives.
    """
    last = f"$(cat -- {shlex.quote(key_file)})" if key_file else ""
    authentication = f"x-goog-api-key: ${{GOOGLE_API_KEY:-${{GEMINI_API_KEY:-{last}}}}}"
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
