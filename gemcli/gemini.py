"""The way to the model: the only module that knows google-genai.

The SDK does what it is good at: keys, endpoints, headers, transport. The whole REST body goes out as given
through its public `extra_body`, and the answer is read from the bytes on the wire (`call`, `wire`), so nothing
is converted on the way. It is told to do nothing by itself: no resends, no redirects, no continuation, no
function calling.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from gemcli import answers, refusals
from gemcli.call import CALL, Call
from gemcli.errors import GemcliError
from gemcli.signals import deferred

SIMULATOR_URL = "http://simulator.invalid"

IGNORED_ENVIRONMENT = (
    "GOOGLE_GENAI_CLIENT_MODE",
    "GOOGLE_GENAI_REPLAYS_DIRECTORY",
    "GOOGLE_GENAI_REPLAY_ID",
    "GOOGLE_GENAI_HTTP_CLIENT",
)
"""Variables that would make the SDK record, replay or use another HTTP client without anyone asking gemcli."""


class _Event(Enum):
    """What can end the wait for an answer, besides an error and the time limit."""

    DONE = "done"
    SIGNAL = "signal"


class Gemini:
    """A way to one backend. Made from the environment alone: nothing is loaded or sent until `generate`."""

    def __init__(self, backend: str, environ: Mapping[str, str], notice: Callable[[str], None]) -> None:
        """Find key and endpoint. Raises `GemcliError`: NO_KEY, BAD_KEY, BASE_URL or ENVIRONMENT."""
        self._simulated = backend == "simulator"
        self._key = "simulator" if self._simulated else _key(environ, notice)
        self._base_url = SIMULATOR_URL if self._simulated else _base_url(environ)
        self._version = environ.get("GOOGLE_GENAI_API_VERSION") or None
        self._client: Any = None
        if not self._simulated and environ.get("GOOGLE_GENAI_USE_VERTEXAI", "").lower() in ("1", "true"):
            raise GemcliError("ENVIRONMENT", "GOOGLE_GENAI_USE_VERTEXAI is set, and this version has no Vertex AI yet")

    def generate(self, model: str, body: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Make one generateContent request with `body` as its JSON, and return the answer as received.

        Ends within `seconds` whatever the network does: the request runs in a thread of its own, which is left
        behind when time is up. Raises `GemcliError` for everything but a 200 with an answer in it; its
        `outcome` tells whether the request may have been answered. A signal that arrives while
        signals are deferred raises INTERRUPTED.
        """
        call = Call()
        done: queue.SimpleQueue[BaseException | _Event] = queue.SimpleQueue()
        work = (call, model, body, seconds, done)
        threading.Thread(target=self._work, args=work, name="gemini", daemon=True).start()
        with deferred.waking(lambda: done.put(_Event.SIGNAL)):
            try:
                event = done.get(timeout=seconds)
            except queue.Empty:
                raise _late(call.abandon(), seconds) from None
        if event is _Event.SIGNAL:
            raise _interrupted(call.abandon(), deferred.arrived[0])
        return self._outcome(call, event if isinstance(event, BaseException) else None)

    def _work(
        self,
        call: Call,
        model: str,
        body: Mapping[str, Any],
        seconds: float,
        done: queue.SimpleQueue[BaseException | _Event],
    ) -> None:
        """Make the request; in its own thread. What went wrong, or that it is done, is put into `done`."""
        try:
            CALL.set(call)
            self._client = self._client or self._connect()
            self._client.models.generate_content(
                model=model,
                contents=".",  # never reaches the wire: extra_body has the real ones
                config={
                    "automatic_function_calling": {"disable": True},
                    "automatic_continuation": False,
                    "should_return_http_response": True,
                    "http_options": {"timeout": max(1, int(seconds * 1000)), "extra_body": dict(body)},
                },
            )
            done.put(_Event.DONE)
        except BaseException as error:  # whatever it is belongs to the thread that waits
            done.put(error)

    def _connect(self) -> Any:
        """Load the SDK and make its client."""
        import logging
        import warnings

        for name in IGNORED_ENVIRONMENT:
            os.environ.pop(name, None)
        warnings.simplefilter("ignore")
        from google import genai

        from gemcli import wire

        logging.getLogger("google_genai").setLevel(logging.CRITICAL)
        transport = None
        if self._simulated:
            from gemcli.simulator.transport import Mount

            transport = Mount()
        options: Any = {"httpx_client": wire.client(self._base_url, transport), "async_client_args": {"verify": False}}
        options |= {"base_url": self._base_url} if self._base_url else {}
        options |= {"api_version": self._version} if self._version else {}
        return genai.Client(api_key=self._key, vertexai=False, http_options=options)

    def _outcome(self, call: Call, error: BaseException | None) -> dict[str, Any]:
        """The answer of a finished call. The wire decides: what the SDK made of it does not matter."""
        if call.complete and call.status is not None:
            if call.status == 200:
                return answers.read(bytes(call.body))
            raise self._scrubbed(refusals.refusal(call.status, call.headers, bytes(call.body)))
        from gemcli import wire

        error = error or RuntimeError("the SDK returned without having made a request")
        raise self._scrubbed(wire.fault(error, call)) from error

    def _scrubbed(self, error: GemcliError) -> GemcliError:
        """The error without the key, should a server or a library have quoted it."""
        if self._key in error.message and not self._simulated:
            error.message = error.message.replace(self._key, "[the key]")
            error.args = (error.message,)
        return error


def preload() -> None:
    """Begin to load the SDK in the background: it takes longer than everything else before the first request."""

    def load() -> None:
        from google import genai  # noqa: F401  # loaded for the one that needs it next

        from gemcli import wire  # noqa: F401

    threading.Thread(target=load, name="preload", daemon=True).start()


def _key(environ: Mapping[str, str], notice: Callable[[str], None]) -> str:
    """The API key from the environment; GOOGLE_API_KEY wins, as in the SDK."""
    google, gemini = environ.get("GOOGLE_API_KEY"), environ.get("GEMINI_API_KEY")
    if google and gemini and google != gemini:
        notice("GOOGLE_API_KEY and GEMINI_API_KEY are both set: GOOGLE_API_KEY is used")
    key = google or gemini
    if not key:
        raise GemcliError("NO_KEY", "neither GEMINI_API_KEY nor GOOGLE_API_KEY is set")
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        name = "GOOGLE_API_KEY" if google else "GEMINI_API_KEY"
        raise GemcliError("BAD_KEY", f"{name} holds characters that no key has")
    return key


def _base_url(environ: Mapping[str, str]) -> str | None:
    """GOOGLE_GEMINI_BASE_URL if it is set and safe to send a key to; `None` means the API's own."""
    url = environ.get("GOOGLE_GEMINI_BASE_URL")
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise GemcliError("BASE_URL", f"GOOGLE_GEMINI_BASE_URL is not a URL: {url!r}") from None
    loopback = host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host)
    if host and (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        return url
    raise GemcliError("BASE_URL", f"GOOGLE_GEMINI_BASE_URL={url} would send the key and the conversation unprotected")


def _late(sent: bool, seconds: float) -> GemcliError:
    if sent:
        return GemcliError("TIMEOUT", f"no answer within {seconds:.3g} s", outcome="unknown")
    return GemcliError("CONNECT_TIMEOUT", f"no connection within {seconds:.3g} s", outcome="rejected")


def _interrupted(sent: bool, signum: int) -> GemcliError:
    name = signal.Signals(signum).name
    what = "whether the message was answered is unknown" if sent else "nothing was sent"
    return GemcliError(
        "INTERRUPTED",
        f"stopped by {name}; {what}",
        outcome="unknown" if sent else "rejected",
        exit_code=128 + signum,
    )
