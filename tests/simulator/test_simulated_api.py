"""The application: what it routes, whom it lets in, and that it always answers in the API's form."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.simulator import echo_model
from gemcli.simulator.api_errors import STATUSES
from gemcli.simulator.replies import Reply
from gemcli.simulator.simulated_api import VERBS, application, simulate
from tests.builders import json_values

from .support import ECHO, KEY, SSE, error_of, json_of, post, says, talk

HELLO = {"contents": talk("Hello")}
UNREGISTERED = "Method doesn't allow unregistered callers"


def assert_in_the_apis_form(reply: Reply) -> None:
    """A reply is a success, or an error in the form of Google's APIs."""
    if reply.status != 200:
        code, status, message = error_of(reply)
        assert code == STATUSES[status].code
        assert message


def test_pure() -> None:
    """Asking twice gives the same bytes, and another request gets another id."""
    assert post(HELLO) == post(HELLO)
    assert json_of(post({"contents": talk("Hello!")}))["responseId"] != json_of(post(HELLO))["responseId"]


UNSUPPORTED = (
    "models/{} is not found for API version v1beta, or is not supported for generateContent. "
    "Call ModelService.ListModels to see the list of available models and their supported methods."
)
NOWHERE = "Requested entity was not found."


@pytest.mark.parametrize(
    ("method", "target", "message"),
    [
        ("POST", "/v1beta/models/xyz:generateContent", UNSUPPORTED.format("xyz")),
        ("POST", "/v1beta/models/simulator/xyz:generateContent", UNSUPPORTED.format("simulator/xyz")),
        ("POST", "/v1beta/models/a%20b:generateContent", UNSUPPORTED.format("a b")),
        ("GET", "/v1/models/xyz", "Model is not found: models/xyz for api version v1"),
        ("GET", "/", NOWHERE),
        ("GET", "/v2/models", NOWHERE),
        ("GET", "/v1beta/models/simulator/echo:generateContent", NOWHERE),
        ("POST", "/v1beta/models/simulator/echo:sing", NOWHERE),
        ("POST", "/v1beta/models", NOWHERE),
        ("DELETE", "/v1beta/models/simulator/echo", NOWHERE),
    ],
)
def test_not_found(method: str, target: str, message: str) -> None:
    """A model that does not exist, and what the simulator does not serve, is 404 in the API's words."""
    assert error_of(simulate(method, target, KEY, b"{}")) == (404, "NOT_FOUND", message)


def test_any_other_model() -> None:
    """An application can make a model for any name that can be one; only those in its list are listed."""
    app = application({ECHO: echo_model.answer}, lambda name: echo_model.answer)
    assert post(HELLO, model="tunedModels/x", app=app).status == 200
    assert json_of(app("GET", "/v1/models/gemini-x", KEY, b""))["name"] == "models/gemini-x"
    assert len(json_of(app("GET", "/v1/models", KEY, b""))["models"]) == 1
    assert post(HELLO, model="a%20b", app=app).status == 404


def test_form_of_errors() -> None:
    """An error before the first chunk is a list of one where an array was asked for, and plain JSON elsewhere."""
    plain = json_of(post({}))
    assert json_of(post({}, SSE)) == plain
    assert json_of(post({}, "streamGenerateContent")) == [plain]
    assert json_of(post(HELLO, "streamGenerateContent", model="nonesuch"))[0]["error"]["code"] == 404
    keyless = simulate("POST", f"/v1/models/{ECHO}:streamGenerateContent", {}, b"{}")
    assert json_of(keyless)[0]["error"]["status"] == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("query", "headers", "registered"),
    [
        ("", {"x-goog-api-key": "any"}, True),
        ("", {"X-Goog-Api-Key": "any"}, True),
        ("?key=any", {}, True),
        ("?alt=json&key=any", {}, True),
        ("", {"Authorization": "Bearer any"}, True),
        ("", {}, False),
        ("?key=", {}, False),
        ("", {"x-goog-api-key": " "}, False),
        ("", {"authorization": "Bearer "}, False),
        ("", {"authorization": "Basic eA=="}, False),
    ],
)
def test_keys(query: str, headers: Mapping[str, str], registered: bool) -> None:
    """Any key counts wherever the API takes one; no key, or an empty one, is 403, whatever is asked."""
    if registered:
        assert simulate("GET", f"/v1beta/models{query}", headers, b"").status == 200
        return
    for target in ("/v1beta/models", "/nowhere"):
        code, status, message = error_of(simulate("GET", target + query, headers, b""))
        assert (code, status) == (403, "PERMISSION_DENIED")
        assert message.startswith(UNREGISTERED)


def test_models() -> None:
    """The list has the echo, models.get describes it the same way; it never claims to be a real model."""
    (listed,) = json_of(simulate("GET", "/v1beta/models?pageSize=1&pageToken=x", KEY, b""))["models"]
    assert json_of(simulate("GET", f"/v1beta/models/{ECHO}", KEY, b"")) == listed
    assert listed["name"] == "models/simulator/echo"
    assert listed["supportedGenerationMethods"] == ["generateContent", "countTokens"]
    app = application({"gemini-flash-latest": echo_model.answer})
    assert json_of(post(HELLO, model="gemini-flash-latest", app=app))["modelVersion"] == ECHO


def test_own_models() -> None:
    """`application` takes models by name, each a function from a checked request to an answer.

    The request names the model, as the path does.
    """
    seen: list[dict[str, Any]] = []

    def model(request: dict[str, Any]) -> dict[str, Any]:
        seen.append(request)
        return {"candidates": []}

    app = application({"gemini-x": model})
    body = HELLO | {"generation_config": {"top_p": 0.5}}
    assert json_of(post(body, model="gemini-x", app=app)) == {"candidates": []}
    assert seen == [HELLO | {"generationConfig": {"topP": 0.5}, "model": "models/gemini-x"}]
    assert post(HELLO, app=app).status == 404


def test_count_tokens() -> None:
    """Counting takes Contents in any order, and more text is more tokens."""
    one = json_of(post({"contents": [says("model", "12345678")]}, "countTokens"))
    assert one == {"totalTokens": 2, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2}]}
    two = {"contents": talk("12345678", "12345678"), "systemInstruction": says("user", "1234")}
    whole = {"generateContentRequest": {"model": "models/simulator/echo"} | two}
    assert json_of(post(whole, "countTokens"))["totalTokens"] == 5


def test_imports() -> None:
    """Importing gemcli.simulator loads none of its modules, and the application loads no HTTP client."""
    script = (
        "import sys, gemcli.simulator; assert not [m for m in sys.modules if m.startswith('gemcli.simulator.')]\n"
        "import gemcli.simulator.simulated_api as api\n"
        "assert api and not {'httpx2', 'google', 'click', 'socketserver'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


KNOWN = st.sampled_from(["contents", "systemInstruction", "generation_config", "tools"])
CONTENTS = st.lists(st.fixed_dictionaries({"role": json_values(), "parts": json_values()}))
BODIES = json_values() | st.dictionaries(KNOWN, json_values()) | st.fixed_dictionaries({"contents": CONTENTS})
TARGETS = st.text(max_size=20) | st.text(max_size=20).map("/v1/models/".__add__)


@given(st.binary(max_size=60) | BODIES, st.sampled_from(sorted(VERBS)), st.sampled_from(["GET", "POST"]), TARGETS)
def test_anything(body: Any, verb: str, method: str, target: str) -> None:
    """Whatever is sent, and wherever to, the reply is a success or an error in the API's form, never an exception."""
    assert_in_the_apis_form(post(body, verb))
    assert_in_the_apis_form(simulate(method, target, KEY, b""))
