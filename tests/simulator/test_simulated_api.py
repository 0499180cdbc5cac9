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
from gemcli.simulator.simulated_api import VERBS, Reply, application, json_reply, simulate

from .support import KEY, get, json_of, post, says, talk, text_of

HELLO = {"contents": [says("user", "Hello")]}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def is_the_apis(reply: Reply) -> bool:
    """Whether a reply is a success, or an error in the form of Google's APIs."""
    if reply.status == 200:
        return True
    body = json_of(reply)
    # Refusals of a stream without alt=sse come as a list of one.
    error = (body[0] if isinstance(body, list) else body)["error"]
    return error["code"] == reply.status == STATUSES[error["status"]].code and isinstance(error["message"], str)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_both_versions_of_the_api_answer(version: str) -> None:
    """The same request is answered under v1 and v1beta."""
    reply = simulate(
        "POST", f"/{version}/models/simulator/echo:generateContent", KEY, b'{"contents":{"parts":{"text":"a"}}}'
    )
    assert reply.status == 200
    assert text_of(reply) == 'Message 1 says: "a".'


def test_an_answer_is_a_pure_function_of_the_request() -> None:
    """Asking twice gives the same bytes, and another request gets another id."""
    assert post(HELLO) == post(HELLO)
    other = json_of(post({"contents": [says("user", "Hello!")]}))
    assert other["responseId"] != json_of(post(HELLO))["responseId"]


@pytest.mark.parametrize(
    "target",
    [
        "/v1beta/models/xyz:generateContent",
        "/v1beta/models/simulator/xyz:generateContent",
        "/v1beta/models/a%20b:generateContent",
    ],
)
def test_an_unknown_model_is_not_found(target: str) -> None:
    """Only simulator/echo exists; any other name is 404 in the API's words."""
    reply = simulate("POST", target, KEY, b"{}")
    error = json_of(reply)["error"]
    assert (reply.status, error["status"]) == (404, "NOT_FOUND")
    assert error["message"].endswith(
        " is not found for API version v1beta, or is not supported for generateContent. "
        "Call ModelService.ListModels to see the list of available models and their supported methods."
    )


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", "/v2/models"),
        ("GET", "/v1beta/models/simulator/echo:generateContent"),
        ("POST", "/v1beta/models/simulator/echo:sing"),
        ("POST", "/v1beta/models"),
        ("DELETE", "/v1beta/models/simulator/echo"),
    ],
)
def test_an_unknown_place_is_not_found(method: str, target: str) -> None:
    """What the simulator does not serve is 404 in the API's form."""
    reply = simulate(method, target, KEY, b"")
    assert reply.status == 404
    assert is_the_apis(reply)


def test_a_refusal_has_the_form_of_the_answer() -> None:
    """An error before the first chunk is a list of one where an array was asked for, and plain JSON elsewhere."""
    plain = json_of(post({}))
    assert json_of(post({}, "streamGenerateContent?alt=sse")) == plain
    assert json_of(post({}, "streamGenerateContent")) == [plain]
    assert json_of(post(HELLO, "streamGenerateContent", model="nonesuch"))[0]["error"]["code"] == 404
    keyless = simulate("POST", "/v1/models/simulator/echo:streamGenerateContent", {}, b"{}")
    assert (keyless.status, json_of(keyless)[0]["error"]["status"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"x-goog-api-key": "any"}),
        ("", {"X-Goog-Api-Key": "any"}),
        ("?key=any", {}),
        ("?alt=json&key=any", {}),
        ("", {"Authorization": "Bearer any"}),
    ],
)
def test_any_key_is_accepted(query: str, headers: Mapping[str, str]) -> None:
    """A key counts wherever the API takes one, whatever it is."""
    assert simulate("GET", f"/v1beta/models{query}", headers, b"").status == 200


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("?key=", {}),
        ("", {"x-goog-api-key": " "}),
        ("", {"authorization": "Bearer "}),
        ("", {"authorization": "Basic eA=="}),
    ],
)
def test_a_caller_without_a_key_is_refused(query: str, headers: Mapping[str, str]) -> None:
    """No key, or an empty one, is 403 in the API's words, whatever is asked."""
    for target in ("/v1beta/models", "/nowhere"):
        reply = simulate("GET", target + query, headers, b"")
        error = json_of(reply)["error"]
        assert (reply.status, error["status"]) == (403, "PERMISSION_DENIED")
        assert error["message"].startswith("Method doesn't allow unregistered callers")


def test_models_are_listed_and_described() -> None:
    """The list has the echo, and models.get describes it the same way; paging is tolerated."""
    listed = json_of(get("/v1beta/models?pageSize=1&pageToken=x"))["models"]
    assert [model["name"] for model in listed] == ["models/simulator/echo"]
    assert json_of(get("/v1beta/models/simulator/echo")) == listed[0]
    assert listed[0]["supportedGenerationMethods"] == ["generateContent", "countTokens"]


def test_an_unknown_model_cannot_be_described() -> None:
    """models.get of another name is 404."""
    reply = get("/v1/models/xyz")
    assert reply.status == 404
    assert json_of(reply)["error"]["message"] == "Model is not found: models/xyz for api version v1"


def test_an_application_serves_the_models_it_is_given() -> None:
    """`application` takes models by name, each a function from a checked request to an answer."""
    seen: list[dict[str, Any]] = []

    def model(request: dict[str, Any]) -> dict[str, Any]:
        seen.append(request)
        return {"candidates": []}

    app = application({"gemini-x": model})
    body = {"contents": [says("user", "Hi")], "generation_config": {"top_p": 0.5}}
    assert json_of(post(body, model="gemini-x", app=app)) == {"candidates": []}
    assert seen == [{"contents": [says("user", "Hi")], "generationConfig": {"topP": 0.5}}]
    assert post(HELLO, app=app).status == 404


def test_tokens_are_counted_for_any_piece_of_a_conversation() -> None:
    """Counting takes Contents in any order, and more text is more tokens."""
    one = json_of(post({"contents": [says("model", "12345678")]}, "countTokens"))
    assert one == {"totalTokens": 2, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2}]}
    two = {"contents": talk("12345678", "12345678"), "systemInstruction": says("user", "1234")}
    whole = {"generateContentRequest": {"model": "models/simulator/echo"} | two}
    assert json_of(post(whole, "countTokens"))["totalTokens"] == 5


def test_a_reply_can_be_scripted() -> None:
    """`json_reply` makes the reply of a scripted application, with headers of its own."""
    reply = json_reply({"é": 1}, 429, {"retry-after": "2"})
    assert reply == Reply(
        429, {"content-type": "application/json; charset=UTF-8", "retry-after": "2"}, ('{"é":1}'.encode(),)
    )


def test_the_package_costs_nothing_to_import() -> None:
    """Importing gemcli.simulator loads none of its modules, and the application loads no HTTP client."""
    script = (
        "import sys, gemcli.simulator; assert not [m for m in sys.modules if m.startswith('gemcli.simulator.')]\n"
        "import gemcli.simulator.simulated_api; assert not {'httpx2', 'google', 'click', 'socketserver'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@given(st.binary(max_size=60) | json_values, st.sampled_from(sorted(VERBS)))
def test_any_body_gets_an_answer_in_the_apis_form(body: Any, verb: str) -> None:
    """Whatever is sent, the reply is a success or an error in the API's form, never an exception."""
    assert is_the_apis(post(body, verb))


@given(
    st.dictionaries(st.sampled_from(["contents", "systemInstruction", "generation_config", "tools"]), json_values)
    | st.fixed_dictionaries({"contents": st.lists(st.fixed_dictionaries({"role": json_values, "parts": json_values}))})
)
def test_any_values_in_known_fields_get_an_answer_in_the_apis_form(body: Any) -> None:
    """The same holds where the fields are known and only their values are odd."""
    assert is_the_apis(post(body))


@given(st.sampled_from(["GET", "POST", "PUT"]), st.text(max_size=20) | st.text(max_size=20).map("/v1/models/".__add__))
def test_any_target_gets_an_answer_in_the_apis_form(method: str, target: str) -> None:
    """The same holds for any method and path."""
    assert is_the_apis(simulate(method, target, KEY, b""))


def test_the_echo_goes_by_its_own_name() -> None:
    """An answer never claims to come from a real model, under whatever name it was asked."""
    app = application({"gemini-flash-latest": echo_model.answer})
    assert json_of(post(HELLO, model="gemini-flash-latest", app=app))["modelVersion"] == "simulator/echo"
