"""The way to the model: the only module that knows google-genai.

The SDK does what it is good at: keys, endpoints, headers, transport. The whole REST body goes out
as given through its public `extra_body`, and the answer is read from the bytes on the wire (`call`,
`wire`), so nothing is converted on the way. It is told to do nothing by itself: no resends, no
redirects, no continuation, no function calling.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from gemcli.api import http_errors
from gemcli.api import streamed_answer as chunking
from gemcli.api.attempt import CALL, Call
from gemcli.api.backends import SIMULATOR, wire_name
from gemcli.api.credentials import Access
from gemcli.chat import answers
from gemcli.chat.answers import Answer
from gemcli.errors import GemcliError
from gemcli.signals import GLANCE, deferred

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


_Queue = queue.SimpleQueue["bytes | BaseException | _Event"]


class Gemini:
    """A way to one backend. Nothing is loaded or sent until it is used."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._client: Any = None
        self._http: Any = None

    def close(self) -> None:
        """Close the connections, but for those of requests that were given up."""
        if self._http is not None:
            self._http.close()
        self._client = self._http = None

    def generate(
        self, model: str, body: Mapping[str, Any], seconds: float, grace: float = 0.0
    ) -> Answer:
        """Make one generateContent request with `body` as its JSON, and return the answer as received.

        Ends within `seconds` whatever the network does: the request runs in a thread of its own,
        which is left behind when time is up. Raises `GemcliError` for everything but a 200 with an
        answer in it; its `outcome` tells whether the request may have been answered. A signal that
        arrives while signals are deferred leaves `grace` seconds for the answer to what was sent,
        and then raises INTERRUPTED; a second one does so at once.
        """
        done: _Queue = queue.SimpleQueue()
        call = Call()
        error = self._wait(call, done, (model, body, seconds), lambda _event: None, grace)
        if not call.complete or call.status != 200:
            raise self._fault(call, error)
        try:
            return answers.read(bytes(call.body))
        except GemcliError as unreadable:
            unreadable.partial = self._text(call)
            raise self._scrubbed(unreadable, call) from None

    def stream(
        self,
        model: str,
        body: Mapping[str, Any],
        seconds: float,
        on_chunk: Callable[[Answer], None],
    ) -> Answer:
        """`generate` as streamGenerateContent.

        `on_chunk` gets each chunk as it arrives, the result is the whole.

        A stream that breaks raises with what had arrived in `partial`; one that breaks after its
        finish reason is an answer.
        """
        done: _Queue = queue.SimpleQueue()
        call = Call(done.put)
        chunks: list[Answer] = []

        def on_event(data: bytes) -> None:
            chunks.append(chunking.read(data))
            on_chunk(chunks[-1])

        try:
            error = self._wait(call, done, (model, body, seconds), on_event)
            self._finish(call, error, chunks, on_event)
        except GemcliError as broken:
            if not call.complete:
                self._give_up(call)
            if not chunking.finished(chunks):
                if chunks:
                    broken.partial, broken.outcome = chunking.join(chunks), "unknown"
                elif broken.outcome == "unknown" and call.body and broken.partial is None:
                    broken.partial = self._text(call)
                raise self._scrubbed(broken, call) from broken.__cause__
        return chunking.join(chunks)

    def preview(self, model: str, body: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
        """The request as it would be sent: `method`, `url` and `body`.

        Nothing is sent; needs no key.

        User and password, should the base URL have them, are not in the `url`: it is there to be
        printed.
        """
        from gemcli.api import http

        transport = http.Preview()
        self._client = self._connect(transport, http.no_credentials())
        CALL.set(Call((lambda _event: None) if stream else None))
        self._request(model, body, 1.0, stream=stream)
        if transport.request is None:
            raise RuntimeError("the SDK made no request")
        sent = json.loads(transport.request.content)
        url = transport.request.url.copy_with(userinfo=b"")
        return {"method": transport.request.method, "url": str(url), "body": sent}

    # One request, in its own thread

    def _wait(
        self,
        call: Call,
        done: _Queue,
        request: tuple[str, Mapping[str, Any], float],
        on_event: Callable[[bytes], None],
        grace: float = 0.0,
    ) -> BaseException | None:
        """Make the request and wait for its end; what the SDK raised is the result.

        An answer that has arrived whole is never given up, neither for a signal nor for the time.
        """
        until = time.monotonic() + request[2]
        threading.Thread(
            target=self._work, args=(call, done, *request), name="gemini", daemon=True
        ).start()
        with deferred.waking(lambda: done.put(_Event.SIGNAL)):
            while True:
                try:
                    event = done.get(timeout=min(GLANCE, max(0.0, until - time.monotonic())))
                except queue.Empty:
                    if time.monotonic() < until:
                        continue
                    if call.complete:
                        return None
                    if deferred.arrived:
                        raise interrupted(deferred.arrived[0], sent=self._give_up(call)) from None
                    raise _late(self._give_up(call), request[2]) from None
                if isinstance(event, bytes):
                    on_event(event)
                    if not call.complete and time.monotonic() > until:
                        raise _late(self._give_up(call), request[2])
                elif event is _Event.SIGNAL:
                    if not call.complete and not (grace and call.sent):
                        raise interrupted(deferred.arrived[0], sent=self._give_up(call))
                    until, grace = min(until, time.monotonic() + grace), 0.0
                else:
                    return event if isinstance(event, BaseException) else None

    def _give_up(self, call: Call) -> bool:
        """Leave a request behind, and the client that may be stuck in it.

        Whether the request was sent.
        """
        self._client = self._http = None
        return call.abandon()

    def _work(
        self, call: Call, done: _Queue, model: str, body: Mapping[str, Any], seconds: float
    ) -> None:
        """Make the request; what went wrong, or that it is done, is put into `done`."""
        try:
            CALL.set(call)
            self._client = self._client or self._connect()
            self._request(model, body, seconds, stream=call.wants_stream)
            done.put(_Event.DONE)
        except BaseException as error:  # whatever it is belongs to the thread that waits
            done.put(error)

    def _request(
        self, model: str, body: Mapping[str, Any], seconds: float, *, stream: bool
    ) -> None:
        options: dict[str, Any] = {
            "automatic_function_calling": {"disable": True},
            "automatic_continuation": False,
            "http_options": {"timeout": max(1, int(seconds * 1000)), "extra_body": dict(body)},
        }
        name = wire_name(model)
        # `contents` never reaches the wire: extra_body has the real ones.
        if stream:
            for _ in self._client.models.generate_content_stream(
                model=name, contents=".", config=options
            ):
                pass
        else:
            whole = options | {"should_return_http_response": True}
            self._client.models.generate_content(model=name, contents=".", config=whole)

    def _connect(self, transport: Any = None, credentials: Any = None) -> Any:
        """Load the SDK and make its client.

        Without `credentials` Vertex AI's are those of the environment.
        """
        import logging
        import warnings

        for name in IGNORED_ENVIRONMENT:
            os.environ.pop(name, None)
        warnings.simplefilter("ignore")
        from google import genai

        from gemcli.api import http

        logging.getLogger("google_genai").setLevel(logging.CRITICAL)
        access = self._access
        if access.simulator and transport is None:
            from gemcli.simulator.transport import Mount

            transport = Mount(access.simulator)
        self._http = http.client(access.base_url, transport)
        # The asynchronous client is never used; without these it would load certificates of its
        # own, for 25 ms, and look for a proxy where none is needed.
        unused = {"verify": False, "ssl": http.no_certificates(), "trust_env": False}
        options: Any = {"httpx_client": self._http, "async_client_args": unused}
        options |= {"base_url": access.base_url} if access.base_url else {}
        options |= {"api_version": access.version} if access.version else {}
        if access.backend.name != "vertex":
            return genai.Client(api_key=access.key, vertexai=False, http_options=options)
        if access.key:
            return genai.Client(api_key=access.key, vertexai=True, http_options=options)
        project, location = access.backend.project, access.backend.location
        return genai.Client(
            vertexai=True,
            project=project,
            location=location,
            credentials=credentials,
            http_options=options,
        )

    # What came of it. The wire decides: what the SDK made of it does not matter.

    def _finish(
        self,
        call: Call,
        error: BaseException | None,
        chunks: Sequence[Mapping[str, Any]],
        on_event: Callable[[bytes], None],
    ) -> None:
        """Return if a stream that has ended is an answer. Raises `GemcliError` if it is not."""
        if call.status != 200 or not call.complete:
            raise self._fault(call, error)
        rest = call.events.rest
        try:
            for event in call.events.end():
                on_event(event)
        except GemcliError as unreadable:
            if unreadable.reason != "BAD_RESPONSE":
                raise
            raise GemcliError(
                "STREAM_CUT", "the stream ended inside an event", outcome="unknown"
            ) from unreadable
        if not chunks:
            what = "no stream of events" if rest or call.body.strip() else "empty"
            raise GemcliError("BAD_RESPONSE", f"the answer is {what}", outcome="unknown", http=200)
        if not chunking.finished(chunks) and chunking.has_candidates(chunks):
            raise GemcliError(
                "STREAM_CUT", "the stream ended without a finish reason", outcome="unknown"
            )

    def _fault(self, call: Call, error: BaseException | None) -> GemcliError:
        """What a request that brought no whole answer means."""
        if call.complete and call.status is not None:
            # Scrubbed before it is read: a message that is cut short could end in half a key.
            body = self._without_key(bytes(call.body), call)
            return self._scrubbed(http_errors.refusal(call.status, call.headers, body), call)
        from gemcli.api import http

        error = error or RuntimeError("the SDK returned without having made a request")
        fault = self._scrubbed(http.fault(error, call), call)
        fault.__cause__ = error if _may_be_shown(error, call) else None
        if call.status == 200 and call.body:
            fault.partial = self._text(call)
        return fault

    def _scrubbed(self, error: GemcliError, call: Call) -> GemcliError:
        """The error without key and token, should a server or a library have quoted them."""
        message = self._without_key(error.message.encode("utf-8", "surrogatepass"), call)
        error.message = message.decode("utf-8", "replace")
        error.args = (error.message,)
        return error

    def _text(self, call: Call) -> str:
        """The bytes of a call that were no answer, as text to keep."""
        return self._without_key(bytes(call.body), call).decode("utf-8", "replace")

    def _without_key(self, text: bytes, call: Call) -> bytes:
        key = self._access.key if self._access.backend.name != SIMULATOR else None
        text = text.replace(key.encode(), b"[the key]") if key else text
        return text.replace(call.token, b"[the token]") if call.token else text


def preload() -> threading.Thread:
    """Begin to load the SDK in the background.

    It takes longer than everything else before the first request.

    The thread that does it can be waited for, if the time of loading is not to count as that of a
    request.
    """

    def load() -> None:
        from google import genai  # noqa: F401  # loaded for the one that needs it next

        from gemcli.api import http  # noqa: F401

    thread = threading.Thread(target=load, name="preload", daemon=True)
    thread.start()
    return thread


def _may_be_shown(error: BaseException, call: Call) -> bool:
    """Whether the traceback of an error is free of the access token.

    Of the key `cli` makes sure.
    """
    import traceback

    return not call.token or call.token not in "".join(traceback.format_exception(error)).encode(
        "utf-8", "replace"
    )


def _late(sent: bool, seconds: float) -> GemcliError:
    if sent:
        return GemcliError("TIMEOUT", f"no answer within {seconds:.3g} s", outcome="unknown")
    return GemcliError(
        "CONNECT_TIMEOUT", f"no connection within {seconds:.3g} s", outcome="rejected"
    )


def interrupted(signum: int, *, sent: bool) -> GemcliError:
    """The error of a call that a signal ended; `sent` tells whether a request was under way."""
    what = "whether the message was answered is unknown" if sent else "it was not sent, or refused"
    return GemcliError(
        "INTERRUPTED",
        f"stopped by {signal.Signals(signum).name}; {what}",
        outcome="unknown" if sent else "rejected",
        exit_code=128 + signum,
    )
