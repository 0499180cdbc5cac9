"""Continuation tokens: what they are bound to, and what is refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.simulator.api_errors import ApiError
from gemcli.simulator.continuation import NOT_LARGER, NOT_VALID, Place, place_of, token

from .support import post, refusal, talk
from .test_rules_model import app

NUMBERS = st.integers(0, 2**31)
REQUEST = {"model": "models/m", "contents": talk("a"), "generationConfig": {"maxOutputTokens": 8, "topP": 0.5}}


def changed(**settings: Any) -> dict[str, Any]:
    """The request with other settings."""
    return REQUEST | {"generationConfig": REQUEST["generationConfig"] | settings}  # type: ignore[operator]


def refused(request: dict[str, Any], written: str) -> str:
    """Why a token is refused."""
    with pytest.raises(ApiError) as caught:
        place_of(request | {"continuationToken": written})
    assert caught.value.status == "INVALID_ARGUMENT"
    return caught.value.message


@given(st.builds(Place, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS), st.sampled_from([None, "CONTINUATION"]))
def test_a_token_is_its_place(place: Place, finish: str | None) -> None:
    """The token of a place leads there, in either alphabet of base64; without one the answer begins."""
    written = token(REQUEST, place, finish)
    assert token(REQUEST, place) == written
    for form in (written, written.replace("+", "-").replace("/", "_").rstrip("=")):
        assert place_of(REQUEST | {"continuationToken": form}) == place
    assert place_of(REQUEST) == place_of(REQUEST | {"continuationToken": ""}) == Place()


def test_the_same_in_another_form() -> None:
    """The order of keys means nothing, nor does an empty generationConfig, which the SDK adds to later hops."""
    other = dict(reversed(changed().items()))
    assert place_of(other | {"continuationToken": token(REQUEST, Place(2))}) == Place(2)
    plain = {"model": "models/m", "contents": talk("a")}
    assert place_of(plain | {"generationConfig": {}, "continuationToken": token(plain, Place(2))}) == Place(2)


@pytest.mark.parametrize(
    "request_changed",
    [
        REQUEST | {"model": "models/n"},
        REQUEST | {"contents": talk("b")},
        REQUEST | {"contents": talk("a", "b", "a")},
        REQUEST | {"systemInstruction": {"parts": [{"text": "Be brief"}]}},
        changed(topP=0.6),
        changed(maxOutputTokens=9),
        {key: value for key, value in REQUEST.items() if key != "generationConfig"},
    ],
)
def test_a_token_of_another_request(request_changed: dict[str, Any]) -> None:
    """A token is refused with any other body and any other model."""
    assert refused(request_changed, token(REQUEST, Place(2), "CONTINUATION")) == NOT_VALID


@given(st.data())
def test_a_token_that_was_changed(data: st.DataObject) -> None:
    """Not one bit of a token can be changed, nor can it be cut or made longer."""
    whole = base64.b64decode(token(REQUEST, Place(2, 1, 0, 5, 9), data.draw(st.sampled_from([None, "MAX_TOKENS"]))))
    place = data.draw(st.integers(0, len(whole) - 1))
    other = bytes([whole[place] ^ data.draw(st.integers(1, 255))])
    broken = data.draw(
        st.sampled_from([whole[:place] + other + whole[place + 1 :], whole[:place] or b"x", whole + other])
        | st.binary(min_size=1, max_size=40)
    )
    assert refused(REQUEST, base64.b64encode(broken).decode()) == NOT_VALID


def test_a_token_that_is_none() -> None:
    """What is not base64 does not even fit the field."""
    words = "Invalid value at 'continuation_token' (TYPE_BYTES), Base64 decoding failed for \"!\""
    assert refusal({"contents": talk("a"), "continuationToken": "!"}) == words
    assert refusal({"contents": talk("a"), "continuationToken": "AAAA"}) == NOT_VALID


def test_more_after_max_tokens() -> None:
    """After MAX_TOKENS the limit must be larger, or go; all else stays as it was."""
    written = token(REQUEST, Place(2), "MAX_TOKENS")
    for larger in (changed(maxOutputTokens=9), REQUEST | {"generationConfig": {"topP": 0.5}}):
        assert place_of(larger | {"continuationToken": written}) == Place(2)
    for limit in (7, 8):
        assert refused(changed(maxOutputTokens=limit), written) == NOT_LARGER.format(limit=8)
    assert refused(changed(maxOutputTokens=9, topP=0.6), written) == NOT_VALID
    unlimited = {"model": "models/m", "contents": talk("a")}
    after = unlimited | {"continuationToken": token(unlimited, Place(2), "MAX_TOKENS")}
    assert place_of(after) == place_of(after | {"generationConfig": {"maxOutputTokens": 1}}) == Place(2)


def test_rules_that_were_changed_since() -> None:
    """A token for a rule or a hop that is no more is refused like any other."""
    request = {"model": "models/simulator/rules", "contents": talk("a")}
    for place in (Place(2, 1), Place(2, 0, 1)):
        body = request | {"continuationToken": token(request, place)}
        assert post(body, model="simulator/rules", app=app("answer: a")).status == 400
