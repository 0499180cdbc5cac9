"""The environment variables that change what gemcli does: a table for the documentation.

The code that reads a variable has its name too, and a test compares both.
"""

from __future__ import annotations

from typing import NamedTuple


class Variable(NamedTuple):
    """One variable: its meaning, the commands that it matters to (empty: all), and its reader."""

    name: str
    meaning: str
    commands: tuple[str, ...] = ()
    reader: str = "gemcli"


CALLING = ("send", "replay")
"""The commands that call the API; keys, endpoints and proxies matter only to them."""

ENVIRONMENT = (
    Variable(
        "GEMINI_API_KEY",
        "the API key. There is no option for it: arguments are visible to all users of a machine",
        CALLING,
    ),
    Variable("GOOGLE_API_KEY", "the API key; wins over `GEMINI_API_KEY`", CALLING),
    Variable(
        "GEMCLI_HOME",
        "where named sessions are, in `sessions`; by default in the user's data directory",
    ),
    Variable("GEMCLI_SESSION", "the session, if `-s` is not given"),
    Variable(
        "GEMCLI_MODEL", "the model of a new session, if `--model` is not given", ("new", *CALLING)
    ),
    Variable(
        "GEMCLI_ERRORS", "`json` writes stderr as one JSON object a line, like `--errors json`"
    ),
    Variable("GEMCLI_DEBUG", "`1` prints a traceback with an error, like `--debug`"),
    Variable(
        "GEMCLI_<COMMAND>_<OPTION>",
        "any option of a command, as in `GEMCLI_SEND_TIMEOUT=60`",
        reader="click",
    ),
    Variable(
        "GOOGLE_GEMINI_BASE_URL",
        "another endpoint of the API: https, or plain http to this machine",
        CALLING,
    ),
    Variable("GOOGLE_GENAI_API_VERSION", "another version of the API, such as `v1`", CALLING),
    Variable(
        "GOOGLE_GENAI_USE_VERTEXAI",
        "`true` or `1` makes Vertex AI the backend of new sessions",
        ("new", *CALLING),
    ),
    Variable("GOOGLE_GENAI_USE_ENTERPRISE", "like `GOOGLE_GENAI_USE_VERTEXAI`", ("new", *CALLING)),
    Variable("GOOGLE_CLOUD_PROJECT", "the Vertex AI project, if the session has none", CALLING),
    Variable(
        "GOOGLE_CLOUD_LOCATION",
        "the Vertex AI location, if the session has none; by default `global`",
        CALLING,
    ),
    Variable("GOOGLE_VERTEX_BASE_URL", "another endpoint of Vertex AI", CALLING),
    Variable(
        "GOOGLE_APPLICATION_CREDENTIALS",
        "a file with Google Cloud credentials",
        CALLING,
        "google-auth",
    ),
    Variable("SSL_CERT_FILE", "a file with the certificates to trust", CALLING),
    Variable("SSL_CERT_DIR", "a directory with the certificates to trust", CALLING),
    Variable("HTTPS_PROXY", "the proxy for requests to the API", CALLING, "httpx2"),
    Variable("ALL_PROXY", "the proxy, if `HTTPS_PROXY` is not set", CALLING, "httpx2"),
    Variable("NO_PROXY", "hosts to reach without a proxy", CALLING, "httpx2"),
    Variable(
        "XDG_DATA_HOME",
        "on Linux, the user's data directory; by default `~/.local/share`",
        reader="platformdirs",
    ),
)
"""Every variable, in the order of the documentation."""
