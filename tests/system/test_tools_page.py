"""gemcli-tools(5): its examples, which are those of the SDK's documentation, and what the SDK's chats make of them.

Each example runs on the page's own files against a simulated model, and the SDK's chat talks to the same model: the
histories are the same but for what `meaning` takes away.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import types

from gemcli.settings.api_objects import fields_in
from gemcli.simulator.read_rules import load
from gemcli.simulator.rules_model import RulesModel
from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import application
from gemcli.tools.declarations import OWN_KEYS
from tests.builders import answer, call
from tests.support import CANARY, Gemcli, InProcess, Model

PAGE = (Path(__file__).parents[2] / "man" / "gemcli-tools.5.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^### (.*?)\n(.*?)(?=^##)", PAGE.partition("\n## Examples\n")[2], re.DOTALL | re.MULTILINE))
"""What is below each heading of the examples."""

MODEL = "gemini-3.8-flash"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)

RULES = """
rules:
  - when: {contains: sum of the first 50}
    answer:
      parts:
        - {executableCode: {language: PYTHON, code: "print(sum(primes(50)))"}}
        - {codeExecutionResult: {outcome: OUTCOME_OK, output: "5117\\n"}}
        - {text: The sum is 5117.}
  - when: {contains: euro 2024}
    answer: Spain won Euro 2024.
  - when: {contains: recipes}
    answer: Both need flour.
  - when: {contains: northernmost}
    answer:
      parts:
        - {toolCall: {toolType: GOOGLE_SEARCH_WEB, args: {queries: [north]}, id: s1}, thoughtSignature: c2ln}
        - {toolResponse: {toolType: GOOGLE_SEARCH_WEB, response: {found: Utqiagvik}, id: s1}, thoughtSignature: c2ln}
        - {functionCall: {name: get_current_weather, args: {location: Utqiagvik}, id: c1}, thoughtSignature: c2ln}
  - when: {contains: umbrella}
    answer: No, it is sunny.
  - when: {contains: Boston}
    answer:
      thoughts: The tool knows.
      calls: [{name: get_current_weather, args: {location: "Boston, MA"}, id: c1}]
      signature: c2ln
  - when: {contains: Paris}
    answer: {calls: [{name: get_current_weather, args: {location: Paris}, id: c2}], signature: c2ln}
  - when: {after_call: get_current_weather}
    answer: {text: That is the weather., signature: c2ln}
  - when: {contains: party}
    answer:
      calls:
        - {name: power_disco_ball, args: {power: true}, id: c1}
        - {name: start_music, args: {energetic: true, loud: true}, id: c2}
        - {name: dim_lights, args: {brightness: 0.5}, id: c3}
      signature: c2ln
  - when: {after_call: power_disco_ball}
    answer: The party is on.
  - when: {contains: London}
    answer: {calls: [{name: get_weather_forecast, args: {location: London}, id: c1}], signature: c2ln}
  - when: {after_call: get_weather_forecast}
    answer: {calls: [{name: set_thermostat_temperature, args: {temperature: 20}, id: c2}], signature: c2ln}
  - when: {after_call: set_thermostat_temperature}
    answer: The thermostat is set to 20°C.
  - when: {contains: shirt}
    answer: {calls: [{name: get_image, args: {item_name: green shirt}, id: c1}], signature: c2ln}
  - when: {after_call: get_image}
    answer: Here it is.
"""


INSISTING = """
rules:
  - when: {contains: look up}
    answer: The weather.
  - answer: {calls: [{name: get_current_weather, args: {location: Boston}, id: c1}], signature: c2ln}
"""
"""What a model does that must call a function each time, or must not."""


# The same with the SDK


def get_current_weather(location: str) -> str:
    """Returns the current weather.

    Args:
        location: The city and state, e.g. San Francisco, CA
    """
    return "sunny"


def power_disco_ball(power: bool) -> dict[str, str]:
    """Powers the spinning disco ball."""
    return {"status": f"Disco ball powered {'on' if power else 'off'}"}


def start_music(energetic: bool, loud: bool) -> dict[str, str]:
    """Play some music matching the specified parameters."""
    return {"music_type": "energetic" if energetic else "chill", "volume": "loud" if loud else "quiet"}


def dim_lights(brightness: float) -> dict[str, float]:
    """Dim the lights."""
    return {"brightness": brightness}


def get_weather_forecast(location: str) -> dict[str, Any]:
    """Gets the current weather temperature for a given location."""
    return {"temperature": 25, "unit": "celsius"}


def set_thermostat_temperature(temperature: int) -> dict[str, str]:
    """Sets the thermostat to a desired temperature."""
    return {"status": "success"}


BY_HAND: Any = {"automatic_function_calling": {"disable": True}}
WEATHER: Any = {"tools": [get_current_weather]}
BOSTON = "What is the weather like in Boston?"


def calling(mode: str, *names: str) -> Any:
    """The tool config of a mode."""
    return {"tool_config": {"function_calling_config": {"mode": mode, "allowed_function_names": list(names) or None}}}


def responded(name: str, response: dict[str, Any], **more: Any) -> types.Part:
    """What answers a call by hand."""
    return types.Part.from_function_response(name=name, response=response, **more)


def image() -> list[types.FunctionResponsePart]:
    """The image that is a result."""
    blob = types.FunctionResponseBlob(mime_type="image/png", display_name="shirt.png", data=PNG)
    return [types.FunctionResponsePart(inline_data=blob)]


# example -> session -> the config of a chat, and the messages that are sent to it
CHATS: dict[str, dict[str, tuple[Any, Sequence[Any]]]] = {
    "Functions called by hand": {
        "weather": (
            WEATHER | BY_HAND,
            [
                BOSTON,
                responded("get_current_weather", {"result": "sunny"}),
                "And in Paris?",
                responded("get_current_weather", {"error": "no such place"}),
            ],
        )
    },
    "Functions called by gemcli": {"automatic": (WEATHER, [BOSTON, "Shall I take an umbrella?"])},
    "Python functions": {"python": (WEATHER, [BOSTON])},
    "Calls that must be made, or must not": {
        "any": (WEATHER | calling("ANY") | {"automatic_function_calling": {"maximum_remote_calls": 2}}, [BOSTON]),
        "one": (WEATHER | BY_HAND | calling("ANY", "get_current_weather"), [BOSTON]),
        "none": (WEATHER | BY_HAND | calling("NONE"), ["What could you look up?"]),
    },
    "Calls in parallel": {
        "party": ({"tools": [power_disco_ball, start_music, dim_lights]}, ["Turn this place into a party!"])
    },
    "Calls that need the results of others": {
        "home": (
            {"tools": [get_weather_forecast, set_thermostat_temperature]},
            ["If it's warmer than 20°C in London, set the thermostat to 20°C"],
        )
    },
    "An image as a result": {
        "order": (
            {"tools": [{"function_declarations": [{"name": "get_image"}]}]},
            [
                "Show me the green shirt I ordered last month.",
                responded("get_image", {"file": {"$ref": "shirt.png"}}, parts=image()),
            ],
        )
    },
    "Tools of the API": {
        "primes": ({"tools": [{"code_execution": {}}]}, ["What is the sum of the first 50 prime numbers?"]),
        "euro": ({"tools": [{"google_search": {}}]}, ["Who won the euro 2024?"]),
        "recipes": (
            {"tools": [{"url_context": {}}]},
            ["Compare the recipes at https://example.com/a and https://example.com/b"],
        ),
        "both": (
            WEATHER | BY_HAND,
            [
                "What is the northernmost city in the United States? What's the weather like there?",
                responded("get_current_weather", {"response": "Very cold."}),
            ],
        ),
    },
}
"""What the SDK's chats do where the page has a session."""


def history_of_the_sdk(url: str, config: Any, messages: Sequence[Any]) -> list[Any]:
    """The history of a chat, as it is on the wire."""
    options = types.HttpOptions(base_url=url, api_version="v1beta")
    with genai.Client(api_key=CANARY, vertexai=False, http_options=options) as client:
        chat = client.chats.create(model=MODEL, config=config)
        for message in messages:
            chat.send_message(message)
        history = chat.get_history(curated=True)
    return [content.model_dump(mode="json", by_alias=True, exclude_none=True) for content in history]


def meaning(history: Sequence[Any]) -> list[Any]:
    """A history without what is different on purpose.

    The SDK leaves out the ids of calls that it answers itself, and has what a function returns as `result`. A tool of
    gemcli returns an object as it is, and has anything else as `output`, which the API reads as the result.
    """
    return [{"role": content["role"], "parts": [_meaning(part) for part in content["parts"]]} for content in history]


def _meaning(part: dict[str, Any]) -> dict[str, Any]:
    if "functionResponse" not in part:
        return part
    given = part["functionResponse"]["response"]
    returned = given.get("result", given.get("output", given))
    return {"functionResponse": {**part["functionResponse"], "id": None, "response": returned}}


# The page


def command_lines(example: str) -> Iterator[tuple[list[str], int]]:
    """The arguments of each gemcli in the shell of an example, and the status that it ends with."""
    for block in re.findall(r"^```sh\n(.*?)^```$", EXAMPLES[example], re.DOTALL | re.MULTILINE):
        variables: dict[str, str] = {}
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[0] == "gemcli":
                status = re.search(r"# exit (\d+)$", line)
                args = [variables.get(word.removeprefix("$"), word) for word in words[1:]]
                yield args, int(status[1]) if status else 0
            else:
                variables |= dict([words[0].split("=", 1)])


@pytest.fixture
def url(example: str) -> Iterator[str]:
    """Where the model of an example is."""
    rules = load(INSISTING if example.startswith("Calls that must be made") else RULES, "rules")
    answer: Callable[[str], Any] = RulesModel(rules).named
    with serve(application({}, answer)) as server:
        yield server.url


def test_every_example_is_compared() -> None:
    """With the same sessions as the page has."""
    assert list(EXAMPLES) == list(CHATS)
    for example, chats in CHATS.items():
        assert list(dict.fromkeys(args[2] for args, _ in command_lines(example))) == list(chats)


@pytest.mark.parametrize("example", CHATS)
def test_an_example(example: str, here: InProcess, url: str) -> None:
    """It ends as the page says, and its history is that of the SDK's chat."""
    for text in EXAMPLES.values():
        for name, file in re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            (here.directory / name).write_text(file, encoding="utf-8")
    (here.directory / "shirt.png").write_bytes(PNG)
    here.env = {"GEMINI_API_KEY": CANARY, "GOOGLE_GEMINI_BASE_URL": url, "GEMCLI_MODEL": MODEL}
    for args, status in command_lines(example):
        done = here(*args)
        assert done.status == status, (args, done.out, done.err)
    for session, (config, messages) in CHATS[example].items():
        history = here("history", "-s", session, "--contents").lines
        assert meaning(history) == meaning(history_of_the_sdk(url, config, messages)), session


LOG = """
- name: git_log
  parametersJsonSchema: {type: object, properties: {count: {type: integer}}}
- name: today
"""


def test_the_loop(gemcli: Gemcli, model: Model) -> None:
    """Calls of several answers are answered, of one with ids and one without."""
    if not (shutil.which("jq") and shutil.which("git")):
        pytest.skip("the example needs git and jq")
    loop = re.search(r"^```sh\n(asked.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert loop is not None
    (gemcli.directory / "log.yaml").write_text(LOG)
    first = call("git_log", id="c1", args={"count": 1}), call("git_log", id="c2", args={"count": 2})
    model.script(answer(*first), answer(call("today")), answer("Two commits."))
    commit = "git -c user.name=me -c user.email=me@localhost commit -q --allow-empty -m"
    done = gemcli.shell(f"git init -q; {commit} one; {commit} two\n{loop[1]}", env=model.env)
    assert (done.out, done.err) == ("Two commits.\n", "")
    one, two = (part["functionResponse"] for part in model.requests[1]["contents"][-1]["parts"])
    assert (one["id"], one["response"]["output"].count("\n"), two["response"]["output"].count("\n")) == ("c1", 1, 2)
    assert "output" in model.requests[2]["contents"][-1]["parts"][0]["functionResponse"]["response"]


def test_the_keys_of_a_declaration() -> None:
    """The page has every key of a tools file, and no other."""
    section = PAGE.partition("\n### declaration\n")[2].partition("\n## ")[0]
    keys = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(keys) == sorted({*fields_in("FunctionDeclaration"), *OWN_KEYS})
