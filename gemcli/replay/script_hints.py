"""What people write in scripts that is no key there, and the hint for each."""

from __future__ import annotations

from gemcli.settings.config import CONFIG

CONFIG_KEYS = dict.fromkeys((*CONFIG.keys, *CONFIG.aliases), "it belongs under `config`")
"""Settings, by all of their names."""


def _meant(key: str, words: str) -> dict[str, str]:
    """What people, and other programs, write for a key of ours."""
    return dict.fromkeys(words.split(), f"did you mean `{key}`?")


_RECORDED = "messages with roles stand in a list of their own, under `messages`"

_IN_BOTH = CONFIG_KEYS | {
    **_meant("expect", "assert asserts assertion assertions check checks expected expectation"),
    **_meant("expect", "expectations should tests verify"),
    **_meant("config", "settings options params parameters generationConfig generation_config"),
}

NOT_IN_TOOL_RESULTS = {
    **_meant("name", "function tool call function_name"),
    **_meant("args", "arguments parameters params input"),
    **_meant("result", "response output content return value results error"),
    **_meant("times", "count repeat uses"),
    "id": "calls are told apart by `name` and `args`: ids are new each time",
}

NOT_IN_TURNS = _IN_BOTH | {
    **_meant("user", "text message msg input prompt content say send ask question query human"),
    **_meant("id", "name key title"),
    **_meant("wait", "sleep pause delay"),
    **dict.fromkeys(("role", "from", "parts"), _RECORDED),
    **dict.fromkeys(
        ("assistant", "bot", "answer", "reply", "response"),
        "the model answers; `expect` says what its answer must be like",
    ),
    **dict.fromkeys(
        ("model", "system", "tools", "vars", "on_fail", "on_unknown", "turns"),
        "it belongs to the script, beside `turns`",
    ),
    **dict.fromkeys(
        ("messages", "contents", "history", "conversations", "conversation"),
        "a list of conversations has nothing but conversations in it",
    ),
}

NOT_IN_SCRIPTS = _IN_BOTH | {
    **_meant("turns", "steps prompts inputs questions texts script chat dialog dialogue turn"),
    **_meant("system", "system_prompt system_message instruction instructions persona"),
    **_meant("vars", "variables variable env environment"),
    **_meant("name", "id title"),
    **dict.fromkeys(
        ("user", "text", "message", "input", "prompt"), "messages are a list, under `turns`"
    ),
}
