"""The environment variables that change what gemcli does: the table that the manual is made from.

The code that reads a variable names it itself; a test compares the two. No command imports this.
"""

from __future__ import annotations

from typing import NamedTuple


class Variable(NamedTuple):
    """A variable, the commands that it matters to (all if none is named), and what reads it."""

    name: str
    meaning: str
    commands: tuple[str, ...] = ()
    reader: str = "gemcli"


ASKING = ("send", "replay")
"""The commands that ask a model; keys and proxies matter only to them."""

CREATING = ("new", *ASKING)
"""Those that can create a session."""

REQUESTING = (*ASKING, "export")
"""Those that make or show a request; endpoints, projects and locations matter to them."""

# fmt: off
ENVIRONMENT = (
    Variable("GEMINI_API_KEY",
        "the key. There is no option for it: arguments are visible to everyone on a machine",
        ASKING),
    Variable("GOOGLE_API_KEY", "the same; it is used if both are set", ASKING),
    Variable("GEMINI_API_KEY_FILE",
        "a file with the key, which only its owner can read; used if neither is set, "
        "and by default `api-key` in the configuration directory", ASKING),
    Variable("GEMCLI_HOME",
        "the directory of named sessions, in its `sessions`; by default that of the platform"),
    Variable("GEMCLI_SESSION", "the session, if there is no `-s`"),
    Variable("GEMCLI_MODEL", "the model of a new session without `--model`", CREATING),
    Variable("GEMCLI_ERRORS",
        "`json` writes one JSON object per line on stderr, like `--errors json`"),
    Variable("GEMCLI_LOCKED",
        "set for tools: the sessions whose turns wait for them, which they cannot change"),
    Variable("NO_COLOR", "if it is not empty, terminals are not coloured"),
    Variable("TERM", "terminals that are `dumb` are not coloured"),
    Variable("GEMCLI_DEBUG", "`1` prints a traceback with an error, like `--debug`"),
    Variable("GEMCLI_<COMMAND>_<OPTION>",
        "any option of a command that takes a value, as in `GEMCLI_SEND_TIMEOUT=60`",
        reader="click"),
    Variable("GOOGLE_GEMINI_BASE_URL",
        "another endpoint: https, or plain http to this machine", REQUESTING),
    Variable("GOOGLE_GENAI_API_VERSION", "another version of the API: `v1`, `v1beta`", REQUESTING),
    Variable("GOOGLE_GENAI_USE_VERTEXAI",
        "`true` or `1`: new sessions are answered by Vertex AI", CREATING),
    Variable("GOOGLE_GENAI_USE_ENTERPRISE", "the same; it is used if both are set", CREATING),
    Variable("GOOGLE_CLOUD_PROJECT",
        "the project on Vertex AI, if the session has none", REQUESTING),
    Variable("GOOGLE_CLOUD_LOCATION",
        "the location on Vertex AI, if the session has none; by default `global`", REQUESTING),
    Variable("GOOGLE_VERTEX_BASE_URL", "another endpoint for Vertex AI", REQUESTING),
    Variable("GOOGLE_APPLICATION_CREDENTIALS",
        "a file with Google Cloud credentials", ASKING, "google-auth"),
    Variable("SSL_CERT_FILE", "a file with the certificates to trust", ASKING),
    Variable("SSL_CERT_DIR", "a directory with the certificates to trust", ASKING),
    Variable("HTTPS_PROXY", "the proxy on the way to the API", ASKING, "httpx2"),
    Variable("ALL_PROXY", "the proxy if `HTTPS_PROXY` is not set", ASKING, "httpx2"),
    Variable("NO_PROXY", "hosts to reach without a proxy", ASKING, "httpx2"),
    Variable("XDG_CONFIG_HOME",
        "on Linux, where configuration is kept; by default `~/.config`",
        ASKING, reader="platformdirs"),
    Variable("XDG_DATA_HOME",
        "on Linux, where users' data is kept; by default `~/.local/share`", reader="platformdirs"),
)
# fmt: on
"""Every variable, in the order of the documentation."""
