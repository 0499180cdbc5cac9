"""What can go wrong, and what a script is told about it.

Two tables hold it all. `STATUSES` is the contract of exit statuses: one for each thing a script
would do next. `REASONS` names every condition, with the status it ends in, the google.rpc code that
names its class, and whether the same command may be run again. Everything that fails raises
`GemcliError` with one of those reasons; `output` renders it, `cli` exits with it, and the
documentation is made from the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self


class Status(NamedTuple):
    """One exit status: its number and name, when it is used, and what it means for the script."""

    code: int
    name: str
    when: str
    in_history: str
    again: str


STATUSES = (
    Status(0, "ok", "done, on disk, printed", "yes", ""),
    Status(2, "usage", "arguments, script or config wrong; nothing was sent", "no", "no"),
    Status(
        3,
        "blocked",
        "no usable answer: prompt or answer blocked, empty, only thoughts, malformed; recorded and printed",
        "no",
        "see `retryable`",
    ),
    Status(
        4,
        "incomplete",
        "stopped at MAX_TOKENS or CONTINUATION; recorded and printed",
        "yes",
        "your choice",
    ),
    Status(
        5,
        "function_call",
        "the model waits for function responses; recorded, printed",
        "yes, open",
        "answer it",
    ),
    Status(
        10,
        "expectation",
        "`replay`: it is done, and an expectation was not met",
        "yes",
        "edit the script",
    ),
    Status(
        13,
        "in_doubt",
        "`replay`, `send --key`: this was sent before, and its outcome is not known; nothing was sent",
        "no",
        "with `--on-unknown resend`",
    ),
    Status(
        14,
        "diverged",
        "`replay`, `send --key`: another message was answered in this place; nothing was sent",
        "no",
        "in a new session",
    ),
    Status(
        65, "data", "corrupt session, broken turn order, invalid input text, too long", "no", "no"
    ),
    Status(66, "no_input", "session or file missing", "no", "no"),
    Status(69, "quota", "daily quota or billing: not soon", "no", "tomorrow"),
    Status(
        70, "internal", "a bug in gemcli: one line, a traceback with `--debug`", "no", "report it"
    ),
    Status(73, "exists", "`new` on an existing session", "no", "no"),
    Status(
        74,
        "io",
        "the session cannot be written, or changed under us; or it is on disk and printing failed",
        "the message says",
        "no",
    ),
    Status(
        75,
        "tempfail",
        "rate limit, server error, timeout, connection; session busy (see `outcome`)",
        "no",
        "yes",
    ),
    Status(76, "protocol", "the answer is not the Gemini API's", "no", "no"),
    Status(77, "credentials", "no key, bad key, not permitted", "no", "no"),
    Status(78, "config", "unknown model, region, TLS, redirect, base URL", "no", "no"),
    Status(
        128,
        "signal",
        "128 + its number: Ctrl-C 130, TERM 143, HUP 129, PIPE 141",
        "the message says",
        "yes",
    ),
)
"""Every exit status of gemcli, by number. Status 1 is never used: it means Python or the shell."""

EXIT = {status.name: status.code for status in STATUSES}
"""Exit status by name."""


ReasonName = Literal[
    "USAGE",
    "SETTINGS",
    "SCRIPT",
    "EMPTY_MESSAGE",
    "MODEL_NAME",
    "PROJECT_NAME",
    "LOCATION_NAME",
    "CORRUPT",
    "NOT_A_SESSION",
    "NEWER_FORMAT",
    "TURN_ORDER",
    "OPEN_CALL",
    "TOO_MANY_TURNS",
    "NO_SUCH_TURN",
    "BAD_TEXT",
    "BAD_HISTORY",
    "NOT_EXPRESSIBLE",
    "CONTEXT_TOO_LONG",
    "TOO_LARGE",
    "SESSION_MISSING",
    "FILE_MISSING",
    "SESSION_EXISTS",
    "IO",
    "DISK_FULL",
    "NO_LOCK",
    "SESSION_CHANGED",
    "NOT_PRINTED",
    "SESSION_BUSY",
    "PROMPT_BLOCKED",
    "ANSWER_BLOCKED",
    "EMPTY_ANSWER",
    "MAX_TOKENS_EMPTY",
    "MALFORMED_ANSWER",
    "INCOMPLETE",
    "FUNCTION_CALL",
    "EXPECTATION",
    "IN_DOUBT",
    "DIVERGED",
    "NO_KEY",
    "BAD_KEY",
    "API_KEY_INVALID",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "PRECONDITION",
    "MODEL_NOT_FOUND",
    "BASE_URL",
    "UNEXPECTED_HOST",
    "NO_PROJECT",
    "NO_CREDENTIALS",
    "TLS",
    "REDIRECT",
    "BAD_REQUEST",
    "RATE_LIMIT",
    "QUOTA_DAILY",
    "SERVER_TIMEOUT",
    "ABORTED",
    "CANCELLED",
    "SERVER_ERROR",
    "UNAVAILABLE",
    "CONNECT",
    "DNS",
    "CONNECT_TIMEOUT",
    "CONNECTION_LOST",
    "STREAM_CUT",
    "TIMEOUT",
    "BAD_RESPONSE",
    "INTERRUPTED",
    "READER_GONE",
    "BUG",
]
"""The name of every reason, so that a type checker knows a slip; `REASONS` says what each means."""


class Reason(NamedTuple):
    """One condition: the status it ends in, its google.rpc code, and whether to run the same command again."""

    status: str
    code: str
    retryable: bool = False
    hint: str | None = None


REASONS: dict[ReasonName, Reason] = {
    # What was typed
    "USAGE": Reason("usage", "INVALID_ARGUMENT"),
    "SETTINGS": Reason("usage", "INVALID_ARGUMENT"),
    "SCRIPT": Reason("usage", "INVALID_ARGUMENT"),
    "EMPTY_MESSAGE": Reason(
        "usage",
        "INVALID_ARGUMENT",
        hint="with --skip-empty an empty message sends nothing and exits 0",
    ),
    "MODEL_NAME": Reason(
        "usage", "INVALID_ARGUMENT", hint="a model name has letters, digits, '.', '_', '-' and '/'"
    ),
    "PROJECT_NAME": Reason(
        "usage", "INVALID_ARGUMENT", hint="use a project id, like my-project-123, or its number"
    ),
    "LOCATION_NAME": Reason(
        "usage", "INVALID_ARGUMENT", hint="use a location like us-central1, or global"
    ),
    # Sessions and other data
    "CORRUPT": Reason("data", "DATA_LOSS"),
    "NOT_A_SESSION": Reason("data", "INVALID_ARGUMENT"),
    "NEWER_FORMAT": Reason(
        "data", "FAILED_PRECONDITION", hint="upgrade gemcli the way you installed it"
    ),
    "TURN_ORDER": Reason("data", "INVALID_ARGUMENT"),
    "OPEN_CALL": Reason("data", "FAILED_PRECONDITION"),
    "TOO_MANY_TURNS": Reason(
        "data",
        "OUT_OF_RANGE",
        hint="gemcli rewind takes turns out; gemcli new --from S --at N starts from fewer",
    ),
    "NO_SUCH_TURN": Reason("data", "OUT_OF_RANGE"),
    "BAD_TEXT": Reason("data", "INVALID_ARGUMENT"),
    "BAD_HISTORY": Reason("data", "INVALID_ARGUMENT"),
    "NOT_EXPRESSIBLE": Reason("data", "UNIMPLEMENTED"),
    "CONTEXT_TOO_LONG": Reason(
        "data",
        "INVALID_ARGUMENT",
        hint="gemcli rewind takes turns out; gemcli new --from S --at N starts from fewer",
    ),
    "TOO_LARGE": Reason("data", "INVALID_ARGUMENT"),
    "SESSION_MISSING": Reason("no_input", "NOT_FOUND"),
    "FILE_MISSING": Reason("no_input", "NOT_FOUND"),
    "SESSION_EXISTS": Reason("exists", "ALREADY_EXISTS"),
    # This machine
    "IO": Reason("io", "INTERNAL"),
    "DISK_FULL": Reason(
        "io", "RESOURCE_EXHAUSTED", hint="free some space; the session is as it was"
    ),
    "NO_LOCK": Reason("io", "UNIMPLEMENTED", hint="keep sessions on a local file system"),
    "SESSION_CHANGED": Reason("io", "ABORTED"),
    "NOT_PRINTED": Reason("io", "INTERNAL"),
    "SESSION_BUSY": Reason(
        "tempfail", "ABORTED", True, "another gemcli has the session; --wait waits longer"
    ),
    # Answers that are no use, or not whole
    "PROMPT_BLOCKED": Reason(
        "blocked", "INVALID_ARGUMENT", hint="rephrase the message; it is not in the history"
    ),
    "ANSWER_BLOCKED": Reason(
        "blocked", "FAILED_PRECONDITION", hint="rephrase the message; it is not in the history"
    ),
    "EMPTY_ANSWER": Reason(
        "blocked", "UNAVAILABLE", True, "the answer had no text; sending again may help"
    ),
    "MAX_TOKENS_EMPTY": Reason(
        "blocked",
        "OUT_OF_RANGE",
        hint="thoughts used up the limit: raise --max-output-tokens",
    ),
    "MALFORMED_ANSWER": Reason(
        "blocked", "INTERNAL", True, "the model broke its format; sending again may help"
    ),
    "INCOMPLETE": Reason(
        "incomplete", "OUT_OF_RANGE", hint="raise --max-output-tokens, or send 'go on'"
    ),
    "FUNCTION_CALL": Reason("function_call", "FAILED_PRECONDITION"),
    # What was sent before
    "EXPECTATION": Reason("expectation", "FAILED_PRECONDITION"),
    "IN_DOUBT": Reason(
        "in_doubt",
        "UNKNOWN",
        hint="--on-unknown resend sends it again; if it was answered, that is paid for twice",
    ),
    "DIVERGED": Reason("diverged", "FAILED_PRECONDITION"),
    # The way to the API
    "NO_KEY": Reason(
        "credentials",
        "UNAUTHENTICATED",
        hint="export GEMINI_API_KEY=… (https://aistudio.google.com/apikey), or try --model simulator/echo",
    ),
    "BAD_KEY": Reason(
        "credentials",
        "UNAUTHENTICATED",
        hint="a key is one word of ASCII: look for quotes and newlines",
    ),
    "API_KEY_INVALID": Reason(
        "credentials", "UNAUTHENTICATED", hint="set GEMINI_API_KEY to a valid key"
    ),
    "UNAUTHENTICATED": Reason(
        "credentials", "UNAUTHENTICATED", hint="set GEMINI_API_KEY to a valid key"
    ),
    "PERMISSION_DENIED": Reason(
        "credentials", "PERMISSION_DENIED", hint="this key may not use this model or project"
    ),
    "PRECONDITION": Reason(
        "config", "FAILED_PRECONDITION", hint="check the account's region and billing"
    ),
    "MODEL_NOT_FOUND": Reason(
        "config",
        "NOT_FOUND",
        hint="check the model's name; GOOGLE_GENAI_API_VERSION=v1beta knows more models than v1",
    ),
    "BASE_URL": Reason(
        "config", "FAILED_PRECONDITION", hint="use https, or plain http to this machine only"
    ),
    "UNEXPECTED_HOST": Reason(
        "config", "FAILED_PRECONDITION", hint="check the base URL, the project and the location"
    ),
    "NO_PROJECT": Reason(
        "config", "FAILED_PRECONDITION", hint="set GOOGLE_CLOUD_PROJECT, or gemcli new --project"
    ),
    "NO_CREDENTIALS": Reason(
        "credentials",
        "UNAUTHENTICATED",
        hint="gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS",
    ),
    "TLS": Reason(
        "config", "FAILED_PRECONDITION", hint="SSL_CERT_FILE names the certificates to trust"
    ),
    "REDIRECT": Reason(
        "config",
        "FAILED_PRECONDITION",
        hint="redirects are not followed: a portal, or a wrong base URL?",
    ),
    "BAD_REQUEST": Reason("data", "INVALID_ARGUMENT"),
    "RATE_LIMIT": Reason(
        "tempfail", "RESOURCE_EXHAUSTED", True, "wait and run the same command again"
    ),
    "QUOTA_DAILY": Reason("quota", "RESOURCE_EXHAUSTED", hint="try tomorrow, or another model"),
    "SERVER_TIMEOUT": Reason(
        "tempfail", "DEADLINE_EXCEEDED", True, "a shorter history answers faster"
    ),
    "ABORTED": Reason("tempfail", "ABORTED", True),
    "CANCELLED": Reason("tempfail", "CANCELLED", True),
    "SERVER_ERROR": Reason("tempfail", "INTERNAL", True, "run the same command again later"),
    "UNAVAILABLE": Reason(
        "tempfail", "UNAVAILABLE", True, "run the same command again later, or try another --model"
    ),
    "CONNECT": Reason("tempfail", "UNAVAILABLE", True, "nothing was sent: is the network up?"),
    "DNS": Reason(
        "tempfail",
        "UNAVAILABLE",
        True,
        "nothing was sent: is the network up, and the base URL right?",
    ),
    "CONNECT_TIMEOUT": Reason(
        "tempfail", "UNAVAILABLE", True, "nothing was sent: is the network up?"
    ),
    "CONNECTION_LOST": Reason(
        "tempfail", "UNAVAILABLE", True, "it was sent; whether it was answered is unknown"
    ),
    "STREAM_CUT": Reason(
        "tempfail", "UNAVAILABLE", True, "the answer broke off; what arrived is in the session file"
    ),
    "TIMEOUT": Reason(
        "tempfail",
        "DEADLINE_EXCEEDED",
        True,
        "--timeout and --deadline allow more; whether it was answered is unknown",
    ),
    "BAD_RESPONSE": Reason(
        "protocol", "INTERNAL", hint="is there a portal or proxy in between, or a wrong base URL?"
    ),
    # gemcli itself
    "INTERRUPTED": Reason("signal", "CANCELLED", True),
    "READER_GONE": Reason("signal", "CANCELLED"),
    "BUG": Reason("internal", "INTERNAL", hint="please report this, with the output of --debug"),
}
"""Every reason gemcli can give, the one place that decides what a condition means for a script."""


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The hint that names the `known` word nearest to `word`, None if none is near."""
    import difflib

    nearest = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean `{nearest[0]}`?" if nearest else None


@dataclass(frozen=True)
class Problem:
    """One of several things wrong with an input, all reported at once.

    `rule` is a stable name; `index` counts Contents from 0; `line` and `column` count from 1 in
    `file`, or in the one input there is.
    """

    rule: str
    message: str
    index: int | None = None
    line: int | None = None
    column: int | None = None
    hint: str | None = None
    file: str | None = None

    def describe(self) -> str:
        """One line: where, what, the rule's name, and what to do."""
        if self.file:
            where = [
                ":".join(
                    str(part) for part in (self.file, self.line, self.column) if part is not None
                )
            ]
        else:
            where = [f"line {self.line}" if self.line is not None else ""]
            where += [f"column {self.column}" if self.column else ""]
        where.append(f"content {self.index}" if self.index is not None else "")
        place = ", ".join(part for part in where if part)
        advice = f" ({self.hint})" if self.hint else ""
        return f"{place + ': ' if place else ''}{self.message} [{self.rule}]{advice}"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems in the order of lines and columns; those without a place come first."""
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))


def counted(number: int, noun: str) -> str:
    """How many there are, in words: "1 turn", "2 turns"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class GemcliError(Exception):
    """Something a user can act on.

    `reason` is a key of `REASONS` and decides everything a script sees.

    `hint` replaces the reason's own. `outcome` says what is known of a request that was written
    down as sent: `rejected` (safe to send again) or `unknown`. `http` is the answer's status,
    `retry_after` the seconds a server asked to wait, `problems` what is wrong when several things
    are, `partial` what had arrived of an answer that was cut. `exit_code` is only given for
    signals, whose status is 128 plus their number.
    """

    def __init__(
        self,
        reason: ReasonName,
        message: str,
        *,
        hint: str | None = None,
        problems: Sequence[Problem] = (),
        outcome: str | None = None,
        http: int | None = None,
        retry_after: float | None = None,
        attempts: int | None = None,
        exit_code: int | None = None,
        partial: Any = None,
    ) -> None:
        super().__init__(message)
        kind = REASONS[reason]
        self.reason = reason
        self.message = message
        self.code = kind.code
        self.status = kind.status
        self.exit = EXIT[kind.status] if exit_code is None else exit_code
        self.retryable = kind.retryable
        self.hint = hint or kind.hint
        self.problems = tuple(problems)
        self.outcome = outcome
        self.http = http
        self.retry_after = retry_after
        self.attempts = attempts
        self.partial = partial

    def replace(self, **changes: Any) -> Self:
        """The same error with other values for some of its attributes; cause and traceback stay."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__ | changes)
        other.args = (other.message,)
        other.__cause__ = self.__cause__
        return other.with_traceback(self.__traceback__)

    def to_json(self) -> dict[str, Any]:
        """The error as one JSON object: the keys that scripts rely on, absent facts as null."""
        return {
            "code": self.code,
            "reason": self.reason,
            "exit": self.exit,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
            "retry_after_s": self.retry_after,
            "http": self.http,
            "attempts": self.attempts,
            "outcome": self.outcome,
            "problems": [vars(problem) for problem in self.problems],
        }
