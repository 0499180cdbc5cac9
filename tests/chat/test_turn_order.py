"""Turn order: each rule broken alone, all of them at once, and any JSON at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.chat import turn_order
from gemcli.chat.contents import Content
from gemcli.chat.turn_order import RULES, check, check_request
from gemcli.errors import Problem
from gemcli.formats import imported_contents
from gemcli.simulator import request_checks
from gemcli.simulator.api_errors import ApiError
from gemcli.text import strict_json
from tests.builders import SCALARS, call, json_values, model, result, user

Check = Callable[[list[Any]], list[Problem]]


Q, A = user("q"), model("a")

TOOL_HINT = 'function responses have the role "user"'
RESULT_HINT = 'write {"result": …}'
NOT_LAST = "the request would not end with a user Content"
ROLE_HINT = "role is user or model"

CHECKS: dict[str, Check] = {
    "last": check_request,
}
"""What finds the breaches of a rule, if it is not `check`."""

# rule -> name -> contents, index, message, perhaps a hint
BREACHES: dict[str, dict[str, tuple[Any, ...]]] = {
    "shape": {
        "null": ([None], 0, "not an object but null"),
        "text": ([Q, A, "hi"], 2, "not an object but text"),
        "number": ([1.5], 0, "not an object but a number"),
        "boolean": ([True], 0, "not an object but a boolean"),
        "list": ([[Q]], 0, "not an object but a list"),
        "parts-missing": ([{"role": "user"}], 0, "`parts` is null, not a list"),
        "parts-object": ([{"role": "user", "parts": {"text": "q"}}], 0, "`parts` is an object, not a list"),
        "openai": ([{"role": "user", "content": "q"}], 0, "`parts` is null, not a list",
            'write "parts": [{"text": "…"}]'),
        "part-text": ([{"role": "user", "parts": ["q"]}], 0, "part 0 is not an object but text", 'write {"text": "…"}'),
        "part-number": ([{"role": "user", "parts": [{"text": "q"}, 1]}], 0, "part 1 is not an object but a number"),
        "text-number": ([Q, model({"text": 5})], 1, "part 0: `text` is a number"),
        "text-null": ([user({"text": None})], 0, "part 0: `text` is null"),
        "call-text": ([Q, model({"functionCall": "f"})], 1, "part 0: `functionCall` is text"),
        "response-list": ([user({"functionResponse": []})], 0, "part 0: `functionResponse` is a list"),
    },
    "role": {
        "missing": ([{"parts": []}], 0, "there is no role", 'add "role": "user" or "role": "model"'),
        "assistant": ([Q, {**A, "role": "assistant"}], 1, "the role 'assistant' is not known",
            'the Gemini API calls this role "model"'),
        "system": ([{**Q, "role": "system"}, Q], 0, "the role 'system' is not known",
            "a system instruction is not a Content: give it to `new --system`"),
        "tool": ([Q, model(call()), {**user(result()), "role": "tool"}], 2, "the role 'tool' is not known", TOOL_HINT),
        "function": ([Q, model(call()), {**user(result()), "role": "function"}], 2,
            "the role 'function' is not known", TOOL_HINT),
        "capital": ([{**Q, "role": "User"}], 0, "the role 'User' is not known", ROLE_HINT),
        "number": ([{**Q, "role": 1}], 0, "the role 1 is not known", ROLE_HINT),
        "list": ([{**Q, "role": ["user"]}], 0, "the role ['user'] is not known", ROLE_HINT),
    },
    "first": {
        "model": ([A, Q, A], 0, "the history starts with a model Content"),
    },
    "alternate": {
        "user": ([Q, Q, A], 1, "two user Contents in a row", "join them into one"),
        "model": ([Q, A, A], 2, "two model Contents in a row", "join them into one"),
    },
    "no-parts": {
        "user": ([user()], 0, "there are no parts"),
        "model": ([Q, model(), Q], 1, "there are no parts"),
    },
    "name": {
        "call": ([Q, model({"functionCall": {"args": {}, "id": "1"}})], 1, "part 0: the functionCall has no name"),
        "call-empty": ([Q, model("a", call(""))], 1, "part 1: the functionCall has no name"),
        "call-number": ([Q, model({"functionCall": {"name": 5}})], 1, "part 0: the functionCall has no name"),
        "response": ([Q, model(call()), user({"functionResponse": {"name": None, "response": {}}})], 2,
            "part 0: the functionResponse has no name"),
    },
    "blank-part": {
        "user": ([user("q", {})], 0, "part 1 is empty"),
        "model": ([Q, model({}, "a")], 1, "part 0 is empty"),
        "only-marked": ([Q, model({"thought": True}, "a")], 1, "part 0 is empty"),
        "empty-code": ([Q, model({"executableCode": {}}, "a")], 1, "part 0 is empty"),
    },
    "blank-text": {
        "alone": ([user("")], 0, "part 0 is empty text"),
        "beside": ([Q, A, user("q", "")], 2, "part 1 is empty text"),
        "signed": ([user({"text": "", "thoughtSignature": "cw=="})], 0, "part 0 is empty text"),
    },
    "call-role": {
        "user": ([user("q", call())], 0, "part 1 is a functionCall in a user Content"),
    },
    "response-role": {
        "model": ([Q, model(result())], 1, "part 0 is a functionResponse in a model Content"),
    },
    "calls-answered": {
        "text-on-open-call": ([Q, model(call()), Q], 2, "no functionResponse for f"),
        "first-content": ([user(result())], 0, "function responses without a call before them"),
        "never-called": ([Q, A, user(result())], 2, "a functionResponse for f, which was not called"),
        "one-of-two": ([Q, model(call("f"), call("g")), user(result("f"))], 2, "no functionResponse for g"),
        "one-too-many": ([Q, model(call()), user(result(), result())], 2,
            "a functionResponse for f, which was not called"),
        "another-name": ([Q, model(call("f")), user(result("g"))], 2,
            "no functionResponse for f; a functionResponse for g, which was not called"),
        "another-id": ([Q, model(call(id="1")), user(result(id="2"))], 2,
            "no functionResponse for f (id 1); a functionResponse for f (id 2), which was not called"),
        "id-missing": ([Q, model(call(id="1")), user(result())], 2,
            "no functionResponse for f (id 1); a functionResponse for f, which was not called"),
    },
    "response-object": {
        "text": ([Q, model(call()), user(result(response="7"))], 2, "part 0: the response is text", RESULT_HINT),
        "list": ([Q, model(call()), user(result(response=[7]))], 2, "part 0: the response is a list", RESULT_HINT),
    },
    "last": {
        "model": ([Q, A], 1, NOT_LAST),
        "call": ([Q, model(call())], 1, NOT_LAST),
        "nothing": ([], 0, NOT_LAST),
    },
}  # fmt: skip

CASES = {f"{rule}-{name}": (rule, *breach) for rule, named in BREACHES.items() for name, breach in named.items()}

VALID: dict[str, list[Content]] = {
    "nothing": [],
    "question": [Q],
    "answered": [Q, A],
    "open": [Q, model(call())],
    "calls": [Q, model(call()), user(result()), A, Q],
    "calls-in-a-chain": [Q, model(call("f")), user(result("f")), model(call("g")), user(result("g")), A],
    "calls-any-order": [Q, model(call("f", id="1"), call("f", id="2")), user(result("f", id="2"), result("f", id="1"))],
    "calls-of-one-name": [Q, model(call(), call()), user(result(), result())],
    "call-and-text": [Q, model("look", call()), user(result(), "and this")],
    "code-opens-nothing": [Q, model({"executableCode": {"code": "1"}}, {"toolCall": {"id": "x"}}), Q],
    "thoughts": [Q, model({"text": "hm", "thought": True}, "a")],
    "empty-text-of-model": [Q, model("a", "")],
    "signature-on-empty-text": [Q, model("a", {"text": "", "thoughtSignature": "c2ln"})],
    "unknown-keys": [cast("Content", {**Q, "later": 1}), model({"text": "a", "later": None}, {"later": {"x": 1}})],
    "both-alphabets": [Q, model({"text": "a", "thoughtSignature": "+/+/"}, {"text": "b", "thoughtSignature": "-_-_"})],
    "space": [user(" "), model("\n")],
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_breach(case: tuple[Any, ...]) -> None:
    """Each rule broken is a problem with its name, its place and what to do; only a bad Content may have others."""
    rule, contents, index, message, *hint = case
    problems = CHECKS.get(rule, check)(contents)
    expected = Problem(rule, message, index, hint=hint[0] if hint else None)
    assert [problem for problem in problems if problem.rule == rule] == [expected]
    assert all(problem.index == index for problem in problems)


def test_every_rule_has_a_breach() -> None:
    """The table above breaks every rule there is, and no other."""
    assert BREACHES.keys() == RULES.keys()


BAD_CONTENT = {"role": "assistant", "parts": "a"}
AT_ONCE: dict[str, tuple[Check, list[Any], str]] = {
    "contents": (check, [Q, BAD_CONTENT, None, user("", {}), model(result(response=7)), user(call())],
        "1 role, 1 shape, 2 shape, 3 blank-text, 3 blank-part, 4 response-role, 4 response-object, 5 call-role"),
    "order": (check, [A, A, model(call()), user("", result("g")), user(result())],
        "0 first, 1 alternate, 2 alternate, 3 blank-text, 3 calls-answered, 4 alternate, 4 calls-answered"),
}  # fmt: skip


@pytest.mark.parametrize(("checker", "wrong", "found"), AT_ONCE.values(), ids=AT_ONCE)
def test_all_problems_at_once(checker: Check, wrong: list[Any], found: str) -> None:
    """Breaches of single Contents and of their order are found together, oldest first."""
    assert ", ".join(f"{problem.index} {problem.rule}" for problem in checker(wrong)) == found


@pytest.mark.parametrize("name", VALID)
def test_valid(name: str) -> None:
    """A history that keeps the rules has no problems, and may be open or end with either role."""
    assert check(VALID[name]) == []


def test_open_calls() -> None:
    """Only function calls at the end of a history are open."""
    assert turn_order.open_calls([Q, model("x", call("f"), call("g"))]) == [{"name": n, "args": {}} for n in "fg"]
    assert turn_order.open_calls([Q, model(call()), user(result())]) == []
    assert turn_order.open_calls([Q, model({"executableCode": {"code": "1"}})]) == turn_order.open_calls([]) == []


# Anything at all

KEYS = st.sampled_from(
    [
        "role", "parts", "text", "thought", "thoughtSignature", "functionCall", "functionResponse",
        "response", "name", "id", "inlineData", "data", "content",
    ]
)  # fmt: skip
WORDS = SCALARS | st.text(max_size=5) | st.sampled_from(["user", "model", "assistant", ""])
ANYTHING = json_values(WORDS, KEYS)
PARTS = (
    st.builds(lambda text: {"text": text}, WORDS)
    | st.builds(lambda name, more: {"functionCall": {"name": name, **more}}, WORDS, st.dictionaries(KEYS, WORDS))
    | st.builds(lambda more: {"functionResponse": more}, st.dictionaries(KEYS, ANYTHING))
    | st.builds(lambda data: {"inlineData": {"data": data}}, ANYTHING)
    | ANYTHING
)
NEARLY = st.builds(
    lambda role, parts, more: {**more, "role": role, "parts": parts},
    st.sampled_from(["user", "model", "tool", None, 7, {}, []]),
    st.lists(PARTS, max_size=3) | ANYTHING,
    st.dictionaries(KEYS, ANYTHING, max_size=1),
)


@given(st.lists(ANYTHING | NEARLY, max_size=6))
def test_any_json(contents: list[Any]) -> None:
    """Any list of JSON values is checked without an error, and every problem has a known rule and a real index."""
    for checker in (check, check_request):
        for problem in checker(contents):
            assert problem.rule in RULES
            assert problem.index is not None
            assert 0 <= problem.index < max(1, len(contents))
            assert problem.describe()


TEXT = st.text(min_size=1, max_size=5)
NAMED = st.lists(st.tuples(st.sampled_from("fgh"), st.none() | st.sampled_from("12")), min_size=1, max_size=3)


def _turn(question: str, steps: list[list[tuple[str, str | None]]], reply: str, order: Any) -> list[Content]:
    """One valid turn: a message, rounds of calls with their responses in some order, and an answer."""
    contents = [user(question)]
    for calls in steps:
        named = [(name, {"id": identity} if identity else {}) for name, identity in calls]
        contents.append(model(*(call(name, **more) for name, more in named)))
        shuffled = list(named)
        order.shuffle(shuffled)
        contents.append(user(*(result(name, **more) for name, more in shuffled)))
    return [*contents, model(reply)]


TURNS = st.builds(_turn, TEXT, st.lists(NAMED, max_size=2), TEXT, st.randoms(use_true_random=False))


@given(st.lists(TURNS, max_size=4), st.data())
def test_valid_turns(made: list[list[Content]], data: st.DataObject) -> None:
    """Valid turns have no problems, wherever they end; a request is what ends with the user, and is simulated."""
    contents = [content for turn in made for content in turn]
    assert simulated([*contents, Q])
    contents = contents[: data.draw(st.integers(0, len(contents)))]
    assert check(contents) == []
    assert (check_request(contents) == []) == bool(contents and contents[-1]["role"] == "user")


def simulated(contents: list[Any]) -> bool:
    """Whether the simulator takes a request with these contents."""
    try:
        request_checks.generate_request(strict_json.encode({"contents": contents}), "m")
    except ApiError:
        return False
    return True


@given(st.lists(TURNS, max_size=3), st.lists(NEARLY, max_size=2), st.integers(0, 9), st.integers(0, 9))
def test_accepts_what_the_simulator_accepts(
    made: list[list[Content]], strange: list[Any], place: int, end: int
) -> None:
    """Contents that the simulated API answers have no problems."""
    contents = [content for turn in made for content in turn]
    contents[place:place] = strange
    contents = contents[: len(contents) - end] or contents
    if simulated(contents):
        assert check_request(contents) == []


def test_role_is_required_where_the_simulator_is_lenient() -> None:
    """The API takes a single Content without a role as the user's; a session says who speaks."""
    contents: list[Any] = [{"parts": [{"text": "q"}]}]
    assert simulated(contents)
    assert [problem.rule for problem in check_request(contents)] == ["role"]


# Two are beyond the simulator: keys that it does not know, and empty text, which an answer loses before it is sent.
@pytest.mark.parametrize("name", sorted(VALID.keys() - {"nothing", "open", "unknown-keys", "empty-text-of-model"}))
def test_valid_is_simulated(name: str) -> None:
    """What has no problems is accepted by the simulated API, with a message on top if it ends with an answer."""
    contents = VALID[name]
    assert simulated(contents if contents[-1]["role"] == "user" else [*contents, Q])


REFUSED_WITH_A_MESSAGE: dict[str, list[Any]] = {
    "call-in-snake-case": [Q, model({"function_call": {"name": "f", "args": {}}})],
    "response-in-snake-case": [Q, model("a"), user({"function_response": {"name": "f", "response": {}}}), A],
    "call-without-a-name": [Q, model({"functionCall": {"args": {"a": 1}}}),
        user({"functionResponse": {"response": {"b": 1}}}), A],
}  # fmt: skip


@pytest.mark.parametrize("contents", REFUSED_WITH_A_MESSAGE.values(), ids=REFUSED_WITH_A_MESSAGE)
def test_import_refuses_what_the_api_would(contents: list[Any]) -> None:
    """A history on which the API would refuse the next message is not imported without a word."""
    assert not simulated([*contents, Q])
    assert imported_contents.check(contents)[0]
