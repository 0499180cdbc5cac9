"""The process in which Python functions run: `python -m gemcli.tools.function_host FILE NAME…`.

The first line on standard output has the `declarations` of the functions, made by the SDK from
their signatures and docstrings, or the `error` that kept the file from being loaded. Each line on
standard input is then a call, `{"name", "args"}`, answered by one line, the `response`. Arguments
are converted, and failures worded, as the SDK's chats do it. What the functions print goes to
standard error.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import IO, Any

from google.genai import _extra_utils, types

Function = Callable[..., Any]


def main() -> None:
    """Answer calls until standard input ends."""
    calls, answers = _take_pipes()
    path, *names = sys.argv[1:]
    try:
        functions = load(path, names)
        declarations = [declaration(function) for function in functions.values()]
    except Exception as error:  # whatever it is, the user learns of it
        _show_place(error, path)
        _say(answers, {"error": f"{type(error).__name__}: {error}"})
        return
    _say(answers, {"declarations": declarations})
    for line in calls:
        call = json.loads(line)
        _say(answers, {"response": response(functions[call["name"]], call["args"])})


def load(path: str, names: list[str]) -> dict[str, Any]:
    """The functions of a Python file, which may import its neighbours."""
    name = os.path.splitext(os.path.basename(path))[0]
    if name in sys.modules:
        raise ImportError(f"a module called {name} is loaded already; rename the file")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    functions = {name: getattr(module, name, None) for name in names}
    for name, function in functions.items():
        if not inspect.isfunction(function):
            raise TypeError(f"{name} is not a function of the file")
    return functions


def declaration(function: Function) -> dict[str, Any]:
    """What the model is told of a function, as the SDK's chats tell it."""
    declared = types.FunctionDeclaration.from_callable_with_api_option(
        callable=function, use_json_schema=True
    )
    return declared.model_dump(mode="json", by_alias=True, exclude_none=True)


def response(function: Function, args: dict[str, Any]) -> dict[str, Any]:
    """What a call of a function returns to the model, as the SDK's chats return it."""
    try:
        converted = _extra_utils.convert_number_values_for_dict_function_call_args(args)
        if inspect.iscoroutinefunction(function):
            invoked = _extra_utils.invoke_function_from_dict_args_async(converted, function)
            value = asyncio.run(invoked)
        else:
            value = _extra_utils.invoke_function_from_dict_args(converted, function)
        answer = types.FunctionResponse(response={"result": value})
        returned: dict[str, Any] = answer.model_dump(mode="json", exclude_none=True)["response"]
    except Exception as error:  # whatever it is, the model learns of it
        return {"error": str(error)}
    return returned


def _show_place(error: Exception, path: str) -> None:
    """Print where in the file it happened, without what gemcli and Python did before."""
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename != path:
        del frames[0]
    traceback.print_list(frames)


def _take_pipes() -> tuple[IO[str], IO[str]]:
    """Standard input and output for this module alone: functions may print, or ask for input."""
    calls, answers = (
        os.fdopen(os.dup(0)),
        os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace"),
    )
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return calls, answers


def _say(answers: IO[str], value: dict[str, Any]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    # What is no text, as names of files may be, is replaced: the API would refuse it.
    answers.write(json.dumps(value, ensure_ascii=False) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
