"""The way to the model, and the only module that calls google-genai.

The SDK does what it is good at: keys, Google Cloud credentials, endpoints, headers and transport.
What it would do to a conversation is avoided by a tunnel through its public interface:

- The request. `http_options.extra_body` holds the complete REST body, which goes out as it is. The
  SDK's own types would drop unknown fields, write some keys in snake_case and cost 0.15 ms for each
  Content. It requires `contents`, so it is given a placeholder that never reaches the wire, and it
  is given no generation config, because it would merge that into ours.
- The answer. The HTTP client (`http`) diverts it: the `Attempt` of its thread gets every byte,
  decompressed, gemcli parses those bytes, and the SDK gets an empty body. The SDK would drop
  unknown fields, refuse answers that were paid for, such as one with a `thoughtSignature` that is
  not base64, stop a stream at a comment, at `[DONE]` or at an error without a code, and hold the
  answer twice. The place is the client and not the transport, where the bytes are still compressed,
  and where a transport of our own would turn off proxies and certificates.
- The limits. What a server sends is bounded where it arrives (`Attempt.receive`).
- Streams only, whatever is printed. A connection shows signs of life, what has arrived is kept when
  it breaks, and a streamed answer may be twice as long as one that comes whole. Where a server
  answers with one JSON object all the same, that is the answer.
- One request in each call. Retries, redirects, continuation and function calling of the SDK are
  off. An `Attempt` refuses a second request, because a resend that nobody sees is paid for twice.
- Threads. No time limit of the SDK covers everything that can block, so each request runs in a
  thread of its own (`request_thread`), and one that takes too long is left behind, together with
  its client. Loading the SDK, credentials and the connection belong to it: the moment before the
  request leaves (`Attempt.before_leaving`) is when all of that is done.
- The outcome (`outcome`). The wire decides, not the exception of the SDK. A request is `rejected`,
  safe to send again, if it had not begun to leave this machine (the HTTP library reports the moment
  before it sends the headers), or if the API answered with an error. Otherwise its outcome is
  `unknown`.
"""

from __future__ import annotations

import json
import os
import shlex
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gemcli.api import outcome, request_thread, streamed_answer
from gemcli.api.attempt import CURRENT_ATTEMPT, Attempt
from gemcli.api.backends import model_in_url
from gemcli.api.endpoint import Endpoint
from gemcli.api.limits import Limits
from gemcli.api.secrets import Secrets, without_user
from gemcli.api.streamed_answer import Chunk, StreamedAnswer
from gemcli.chat.answers import Answer
from gemcli.errors import GemcliError

if TYPE_CHECKING:
    import google.auth.credentials
    import httpx2
    from google import genai

    from gemcli.api import http

IGNORED_ENVIRONMENT = (
    "GOOGLE_GENAI_CLIENT_MODE",
    "GOOGLE_GENAI_REPLAYS_DIRECTORY",
    "GOOGLE_GENAI_REPLAY_ID",
    "GOOGLE_GENAI_HTTP_CLIENT",
)
"""Variables that would make the SDK record, replay or use another HTTP client."""


class Gemini:
    """The way to one endpoint. Nothing is loaded or sent until it is used."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client: genai.Client | None = None
        self._http: http.Client | None = None

    def close(self) -> None:
        """Close the connections, except those of requests that were left behind."""
        if self._http is not None:
            self._http.close()
        self._client = self._http = None

    def require_own_project(self, model: str) -> None:
        """Raise `GemcliError` (PROJECT_NAME) if a model of Vertex AI is in another project.

        Its owner would get the conversation, and the name may come from a stranger's file.
        """
        backend = self._endpoint.backend
        project = model.split("/")[1] if model.startswith("projects/") else None
        if backend.name == "vertex" and project not in (None, backend.project):
            what = f"the model {model} belongs to another project than {backend.project}"
            hint = f"if it is yours: gemcli new -s NAME --project {shlex.quote(project or '')}"
            raise GemcliError("PROJECT_NAME", what, hint=hint)

    def ask(
        self,
        model: str,
        body: Mapping[str, object],
        limits: Limits,
        on_chunk: Callable[[Chunk], None] | None = None,
        attempt: Attempt | None = None,
    ) -> Answer:
        """Make one streamGenerateContent request with `body`, and return the answer it brings.

        `on_chunk` gets each chunk as it arrives. Ends within `limits`, whatever the network does. A
        signal that arrives while signals are deferred leaves the grace for the answer to a request
        that was sent. More about the request is in `attempt`, if one is given.

        Raises `GemcliError` for everything but a 200 with an answer in it; its `outcome` tells
        whether the request may have been answered, its `partial` is what had arrived of a stream
        that broke. A stream that breaks after its finish reason is an answer. One that breaks after
        a checkpoint is an answer up to there, and `attempt.broken` says why it broke.
        """
        attempt = self._attempt(attempt)
        streamed = StreamedAnswer()

        def on_event(data: bytes) -> None:
            chunk = streamed_answer.read(data)
            streamed.add(chunk)
            if on_chunk:
                on_chunk(chunk)

        try:
            error = self._perform(attempt, model, body, limits, on_event)
            outcome.check(attempt, error, streamed, on_event)
        except GemcliError as failure:
            if not streamed.finished:
                broken = outcome.explained(failure, attempt, streamed)
                checkpoint = streamed.at_checkpoint
                # More of what is too long would be no better.
                if checkpoint is None or broken.reason == "ANSWER_TOO_LONG":
                    raise broken from failure.__cause__
                attempt.broken = broken
                return attempt.secrets.hide_in_answer(checkpoint)
        return attempt.secrets.hide_in_answer(streamed.answer)

    def preview(self, model: str, body: Mapping[str, object]) -> dict[str, Any]:
        """The request as it would be sent, for the user to see: `method`, `url` and `body`."""
        import httpx2
        from google.oauth2.credentials import Credentials

        requests: list[httpx2.Request] = []

        def remember(request: httpx2.Request) -> httpx2.Response:
            requests.append(request)
            return httpx2.Response(200, json={})

        transport = httpx2.MockTransport(remember)
        unused = Credentials("no-token")  # type: ignore[no-untyped-call]
        self._client, self._http = _connect(self._endpoint, transport, unused)
        CURRENT_ATTEMPT.set(self._attempt(None))
        self._request(model, body, 1.0)
        (request,) = requests
        return {
            "method": request.method,
            "url": without_user(str(request.url)),
            "body": json.loads(request.content),
        }

    def _attempt(self, given: Attempt | None) -> Attempt:
        attempt = given or Attempt()
        # The key of the simulator is no secret.
        attempt.secrets = Secrets(None if self._endpoint.simulator else self._endpoint.key)
        attempt.hints = self._endpoint.hints
        attempt.target = "the simulator" if self._endpoint.simulator else ""
        return attempt

    def _perform(
        self,
        attempt: Attempt,
        model: str,
        body: Mapping[str, object],
        limits: Limits,
        on_event: Callable[[bytes], None],
    ) -> BaseException | None:
        """Make the request in a thread of its own; return what the SDK raised, if anything."""

        def request() -> None:
            self._request(model, body, limits.request_timeout)

        try:
            return request_thread.run(request, attempt, on_event, limits)
        except BaseException:
            if not attempt.complete:
                attempt.abandon()
                self._client = self._http = None  # they may be stuck in the request
            raise

    def _request(self, model: str, body: Mapping[str, object], seconds: float) -> None:
        """Call the SDK. What comes back is in the attempt of this thread."""
        if self._client is None:
            self._client, self._http = _connect(self._endpoint)
        options: Any = {
            "automatic_function_calling": {"disable": True},
            "automatic_continuation": False,
            "http_options": {"timeout": max(1, int(seconds * 1000)), "extra_body": dict(body)},
        }
        chunks = self._client.models.generate_content_stream(
            model=model_in_url(model), contents=".", config=options
        )
        for _ in chunks:
            pass


def _connect(
    endpoint: Endpoint,
    transport: httpx2.BaseTransport | None = None,
    credentials: google.auth.credentials.Credentials | None = None,
) -> tuple[genai.Client, http.Client]:
    """Load the SDK and make its client, and the HTTP client under it.

    Without `credentials`, those of the environment are used where Vertex AI needs them.
    """
    import logging
    import ssl
    import warnings

    for name in IGNORED_ENVIRONMENT:
        os.environ.pop(name, None)
    warnings.simplefilter("ignore")
    with _LOADING:
        from google import genai

        from gemcli.api import http

    logging.getLogger("google_genai").setLevel(logging.CRITICAL)
    if endpoint.simulator and transport is None:
        from gemcli.simulator.transport import AppTransport

        transport = AppTransport(endpoint.simulator)
    no_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    http_client = http.client(endpoint.base_url, transport, endpoint.base_variable)
    options: Any = {
        "httpx_client": http_client,
        "base_url": endpoint.base_url,
        "api_version": endpoint.api_version,
        # The asynchronous client is never used; without these arguments it would load
        # certificates of its own, for 25 ms, and look for a proxy where none is needed.
        "async_client_args": {"verify": False, "ssl": no_certificates, "trust_env": False},
    }
    access: Any = {"api_key": endpoint.key}
    if not endpoint.key:
        if credentials is None:
            http.require_bundle()
        backend = endpoint.backend
        access = {"project": backend.project, "location": backend.location}
        access["credentials"] = credentials
    vertexai = endpoint.backend.name == "vertex"
    return genai.Client(vertexai=vertexai, http_options=options, **access), http_client


_LOADING = threading.Lock()
"""Held while the SDK is loaded: of two threads that import what fails, one may get a part of it."""


def preload() -> None:
    """Begin to load the SDK in the background; what fails is raised when a request needs it."""

    def load() -> None:
        with suppress(Exception), _LOADING:
            from google import genai  # noqa: F401

            from gemcli.api import http  # noqa: F401

    with suppress(RuntimeError):  # there can be no more threads
        threading.Thread(target=load, name="preload", daemon=True).start()
