"""What can go wrong, and what a script learns about it.

`STATUSES` is the contract of exit statuses, one for each thing that a script would do next.
`REASONS` names every condition. Whatever fails raises `GemcliError` with one of these reasons;
`terminal.output` prints it, and `cli` exits with its status. The manual is made from both tables.
"""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, NamedTuple, Self


class Status(NamedTuple):
    """One exit status, when it is used, and what it means for a script."""

    code: int
    name: str
    when: str
    in_history: str
    again: str


# fmt: off
STATUSES = (
    Status(0, "ok", "done, on disk, printed", "yes", ""),
    Status(2, "usage", "invalid arguments, script or config; nothing was sent", "no", "no"),
    Status(3, "blocked", "no usable answer (blocked, empty, only thoughts, malformed); "
           "recorded and printed", "no", "see `retryable`"),
    Status(4, "incomplete", "the answer was cut off (MAX_TOKENS), or ended before it was complete; "
           "recorded and printed", "yes", "`send --continue`, if it is `resumable`"),
    Status(5, "function_call", "the model waits for function responses; recorded and printed",
           "yes, open", "answer it with `send --response`"),
    Status(10, "expectation", "`replay`: the run is complete, and an expectation was not met",
           "yes", "edit the script"),
    Status(12, "budget", "a limit that you set would be passed; nothing was sent", "no",
           "raise the limit"),
    Status(13, "in_doubt", "a message was sent before, or a tool run, and the outcome is unknown; "
           "nothing was sent", "no", "with `--on-unknown resend`"),
    Status(14, "diverged", "`replay`, `send --once`: another message was answered here; "
           "nothing was sent", "no", "in a new session"),
    Status(65, "data", "corrupt session, broken turn order, invalid input text, too long",
           "no", "no"),
    Status(66, "no_input", "session or file missing", "no", "no"),
    Status(69, "quota", "daily quota or billing", "no", "tomorrow"),
    Status(70, "internal", "a bug in gemcli: one line, a traceback with `--debug`",
           "no", "report it"),
    Status(73, "exists", "`new` on an existing session", "no", "no"),
    Status(74, "io", "the session cannot be written or was changed by another program, "
           "or printing failed", "the message says", "no"),
    Status(75, "tempfail", "rate limit, server error, timeout, connection, session in use "
           "(see `outcome`)", "no", "yes"),
    Status(76, "protocol", "the answer is not one of the Gemini API", "no", "no"),
    Status(77, "credentials", "no key, invalid key, not permitted", "no", "no"),
    Status(78, "config", "unknown model, region, TLS, redirect, base URL", "no", "no"),
    Status(128, "signal", "128 + the signal's number: Ctrl-C 130, TERM 143, HUP 129, PIPE 141",
           "the message says", "yes"),
)
# fmt: on
"""Every exit status of gemcli, by number. Status 1 is never used: it means Python or the shell."""

EXIT = {status.name: status.code for status in STATUSES}
"""Exit status by name."""


# fmt: off
ReasonName = Literal[
    "USAGE", "SETTINGS", "SCRIPT", "EMPTY_MESSAGE", "RESPONSES",
    "MODEL_NAME", "PROJECT_NAME", "LOCATION_NAME",
    "CORRUPT", "NOT_A_SESSION", "NEWER_FORMAT", "TURN_ORDER", "OPEN_CALL", "TOO_MANY_TURNS",
    "NO_SUCH_TURN", "BAD_TEXT", "BAD_HISTORY", "NOT_EXPRESSIBLE", "CONTEXT_TOO_LONG", "TOO_LARGE",
    "SESSION_MISSING", "FILE_MISSING", "SESSION_EXISTS",
    "IO", "DISK_FULL", "NO_LOCK", "SESSION_CHANGED", "NOT_PRINTED", "SESSION_BUSY",
    "PROMPT_BLOCKED", "ANSWER_BLOCKED", "EMPTY_ANSWER", "MAX_TOKENS_EMPTY", "MALFORMED_ANSWER",
    "INCOMPLETE", "FUNCTION_CALL", "NOTHING_TO_CONTINUE",
    "EXPECTATION", "SLOW_PATTERN", "NO_TOOL_RESULT", "IN_DOUBT", "DIVERGED",
    "NO_KEY", "BAD_KEY", "KEY_FILE", "API_KEY_INVALID", "UNAUTHENTICATED", "NO_CREDENTIALS",
    "PERMISSION_DENIED", "PRECONDITION", "MODEL_NOT_FOUND", "BASE_URL", "UNEXPECTED_HOST",
    "NO_PROJECT", "NO_HOME", "TLS", "REDIRECT", "BAD_REQUEST", "RATE_LIMIT", "QUOTA_DAILY",
    "SERVER_TIMEOUT",
    "ABORTED", "CANCELLED", "SERVER_ERROR", "UNAVAILABLE", "CONNECT", "DNS", "CONNECT_TIMEOUT",
    "CONNECTION_LOST", "STREAM_CUT", "TIMEOUT", "BAD_RESPONSE", "ANSWER_TOO_LONG",
    "INTERRUPTED", "READER_GONE", "OUT_OF_RESOURCES", "BUG",
]
# fmt: on
"""The names of all reasons, for the type checker; they are the keys of `REASONS`."""


class Reason(NamedTuple):
    """One condition; what is `retryable` may pass by itself."""

    status: str
    code: str
    hint: str | None = None
    retryable: bool = False


_FEWER_TURNS = (
    "start from fewer turns: gemcli new -s NEW --from SESSION --at N, or gemcli rewind -s SESSION"
)
_REPHRASE = "rephrase the message; it is not in the history"
_VALID_KEY = "set GEMINI_API_KEY to a valid key"
_NETWORK = "check the network; nothing was sent"

# fmt: off
REASONS: dict[ReasonName, Reason] = {
    # What was typed
    "USAGE": Reason("usage", "INVALID_ARGUMENT"),
    "SETTINGS": Reason("usage", "INVALID_ARGUMENT"),
    "SCRIPT": Reason("usage", "INVALID_ARGUMENT"),
    "EMPTY_MESSAGE": Reason("usage", "INVALID_ARGUMENT", "use --skip-empty to exit 0 in this case"),
    "RESPONSES": Reason("usage", "INVALID_ARGUMENT"),
    "MODEL_NAME": Reason("usage", "INVALID_ARGUMENT", "use letters, digits, '.', '_', '-' and '/'"),
    "PROJECT_NAME": Reason("usage", "INVALID_ARGUMENT", "use the project's id or its number"),
    "LOCATION_NAME": Reason("usage", "INVALID_ARGUMENT", "use global, or one like us-central1"),
    # Sessions and other data
    "CORRUPT": Reason("data", "DATA_LOSS"),
    "NOT_A_SESSION": Reason("data", "INVALID_ARGUMENT"),
    "NEWER_FORMAT": Reason("data", "FAILED_PRECONDITION",
        "upgrade gemcli the way you installed it"),
    "TURN_ORDER": Reason("data", "INVALID_ARGUMENT"),
    "OPEN_CALL": Reason("data", "FAILED_PRECONDITION"),
    "TOO_MANY_TURNS": Reason("budget", "OUT_OF_RANGE", _FEWER_TURNS),
    "NO_SUCH_TURN": Reason("data", "OUT_OF_RANGE",
        "run gemcli history -s SESSION --all to see its turns"),
    "BAD_TEXT": Reason("data", "INVALID_ARGUMENT"),
    "BAD_HISTORY": Reason("data", "INVALID_ARGUMENT"),
    "NOT_EXPRESSIBLE": Reason("data", "UNIMPLEMENTED",
        "gemcli export contents -s SESSION keeps everything"),
    "CONTEXT_TOO_LONG": Reason("data", "INVALID_ARGUMENT", _FEWER_TURNS),
    "TOO_LARGE": Reason("data", "INVALID_ARGUMENT"),
    "SESSION_MISSING": Reason("no_input", "NOT_FOUND"),
    "FILE_MISSING": Reason("no_input", "NOT_FOUND"),
    "SESSION_EXISTS": Reason("exists", "ALREADY_EXISTS"),
    # This machine
    "IO": Reason("io", "INTERNAL"),
    "DISK_FULL": Reason("io", "RESOURCE_EXHAUSTED", "free some space; the session is unchanged"),
    "NO_LOCK": Reason("io", "UNIMPLEMENTED", "keep sessions on a local file system"),
    "SESSION_CHANGED": Reason("io", "ABORTED"),
    "NOT_PRINTED": Reason("io", "INTERNAL"),
    "SESSION_BUSY": Reason("tempfail", "ABORTED",
        "use --wait to wait longer for the other gemcli", retryable=True),
    # Answers that are unusable or cut off
    "PROMPT_BLOCKED": Reason("blocked", "INVALID_ARGUMENT", _REPHRASE),
    "ANSWER_BLOCKED": Reason("blocked", "FAILED_PRECONDITION", _REPHRASE),
    "EMPTY_ANSWER": Reason("blocked", "UNAVAILABLE",
        "send the message again: the next answer may have text", retryable=True),
    "MAX_TOKENS_EMPTY": Reason("blocked", "OUT_OF_RANGE",
        "raise --max-output-tokens: thoughts used up the limit"),
    "MALFORMED_ANSWER": Reason("blocked", "INTERNAL",
        "send the message again: the next answer may be well-formed", retryable=True),
    "INCOMPLETE": Reason("incomplete", "OUT_OF_RANGE",
        "send 'continue' to get the rest"),
    "FUNCTION_CALL": Reason("function_call", "FAILED_PRECONDITION",
        "answer it: gemcli send -s SESSION --response NAME=JSON"),
    "NOTHING_TO_CONTINUE": Reason("data", "FAILED_PRECONDITION",
        "run gemcli history -s SESSION --last to see the last answer"),
    # What was sent before
    "EXPECTATION": Reason("expectation", "FAILED_PRECONDITION"),
    "SLOW_PATTERN": Reason("expectation", "DEADLINE_EXCEEDED",
        "rewrite the pattern without a repeat in a repeat: (a+)+ as a+"),
    "NO_TOOL_RESULT": Reason("expectation", "FAILED_PRECONDITION",
        "add it to the `tool_results` of the script, and replay again"),
    "IN_DOUBT": Reason("in_doubt", "UNKNOWN",
        "use --on-unknown resend to send it again; if it was answered, you pay twice"),
    "DIVERGED": Reason("diverged", "FAILED_PRECONDITION"),
    # The API, and the network on the way
    "NO_KEY": Reason("credentials", "UNAUTHENTICATED",
        "set GEMINI_API_KEY (https://aistudio.google.com/apikey), "
        "or try --model simulator/echo"),
    "BAD_KEY": Reason("credentials", "UNAUTHENTICATED", "check the key for quotes and white space"),
    "KEY_FILE": Reason("credentials", "UNAUTHENTICATED",
        "the file holds the key and nothing else, and only you can read it"),
    "API_KEY_INVALID": Reason("credentials", "UNAUTHENTICATED", _VALID_KEY),
    "UNAUTHENTICATED": Reason("credentials", "UNAUTHENTICATED", _VALID_KEY),
    "NO_CREDENTIALS": Reason("credentials", "UNAUTHENTICATED",
        "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"),
    "PERMISSION_DENIED": Reason("credentials", "PERMISSION_DENIED",
        "check that this key may use this model and project"),
    "PRECONDITION": Reason("config", "FAILED_PRECONDITION", "check the region and the billing"),
    "MODEL_NOT_FOUND": Reason("config", "NOT_FOUND",
        "check the model's name, and the version of the API"),
    "BASE_URL": Reason("config", "FAILED_PRECONDITION", "use https; http is for this machine only"),
    "UNEXPECTED_HOST": Reason("config", "FAILED_PRECONDITION",
        "check the base URL, the project and the location"),
    "NO_PROJECT": Reason("config", "FAILED_PRECONDITION",
        "set GOOGLE_CLOUD_PROJECT, or use gemcli new -s NAME --project PROJECT"),
    "NO_HOME": Reason("config", "FAILED_PRECONDITION",
        "set GEMCLI_HOME to a directory, or give the path of a session: -s ./NAME.jsonl"),
    "TLS": Reason("config", "FAILED_PRECONDITION", "set SSL_CERT_FILE to trusted certificates"),
    "REDIRECT": Reason("config", "FAILED_PRECONDITION",
        "check the base URL, and whether a network portal wants a login"),
    "BAD_REQUEST": Reason("data", "INVALID_ARGUMENT"),
    "RATE_LIMIT": Reason("tempfail", "RESOURCE_EXHAUSTED",
        "wait and run the same command again", retryable=True),
    "QUOTA_DAILY": Reason("quota", "RESOURCE_EXHAUSTED", "try tomorrow, or use another model"),
    "SERVER_TIMEOUT": Reason("tempfail", "DEADLINE_EXCEEDED",
        "run the same command again, with a longer --timeout if this happens often",
        retryable=True),
    "ABORTED": Reason("tempfail", "ABORTED", retryable=True),
    "CANCELLED": Reason("tempfail", "CANCELLED", retryable=True),
    "SERVER_ERROR": Reason("tempfail", "INTERNAL",
        "run the same command again later", retryable=True),
    "UNAVAILABLE": Reason("tempfail", "UNAVAILABLE",
        "run the same command again later, or try another --model", retryable=True),
    "CONNECT": Reason("tempfail", "UNAVAILABLE", _NETWORK, retryable=True),
    "DNS": Reason("tempfail", "UNAVAILABLE",
        "check the network and the base URL; nothing was sent", retryable=True),
    "CONNECT_TIMEOUT": Reason("tempfail", "UNAVAILABLE", _NETWORK, retryable=True),
    "CONNECTION_LOST": Reason("tempfail", "UNAVAILABLE",
        "check the network; whether the message was answered is unknown", retryable=True),
    "STREAM_CUT": Reason("tempfail", "UNAVAILABLE",
        "send the message again (what was sent --once or by replay: with --on-unknown resend); "
        "the received part is in the session", retryable=True),
    "TIMEOUT": Reason("tempfail", "DEADLINE_EXCEEDED",
        "raise --timeout or --deadline; whether the message was answered is unknown",
        retryable=True),
    "BAD_RESPONSE": Reason("protocol", "INTERNAL", "check the base URL, and for a portal or proxy"),
    "ANSWER_TOO_LONG": Reason("protocol", "OUT_OF_RANGE",
        "check the base URL: no answer of the API is that long"),
    # gemcli itself
    "INTERRUPTED": Reason("signal", "CANCELLED", retryable=True),
    "READER_GONE": Reason("signal", "CANCELLED"),
    "OUT_OF_RESOURCES": Reason("tempfail", "RESOURCE_EXHAUSTED",
        "free some of it, or raise the limit: see ulimit -a", retryable=True),
    "BUG": Reason("internal", "INTERNAL", "report this bug, with the output of --debug"),
}
# fmt: on
"""Every reason, and the one place that decides what a condition means for a script."""


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint that names the `known` word most similar to `word`, None if none is similar."""
    import difflib

    # Comparing takes its time: neither among thousands nor with a whole message.
    nearest = difflib.get_close_matches(word[:100], [*islice(known, 1000)], 1)
    return f"did you mean `{nearest[0]}`?" if nearest else None


@dataclass(frozen=True)
class Problem:
    """One of several things wrong with an input; all are reported at once.

    `rule` is a stable name. `index` counts Contents from 0, `line` and `column` count from 1 in
    `file`, or in the only input.
    """

    rule: str
    message: str
    index: int | None = None
    line: int | None = None
    column: int | None = None
    hint: str | None = None
    file: str | None = None

    def describe(self) -> str:
        """One line: the place, the message, the rule's name, and what to do."""
        place = ", ".join(self._place())
        text = f"{place}: {self.message}" if place else self.message
        advice = f" ({self.hint})" if self.hint else ""
        return f"{text} [{self.rule}]{advice}"

    def _place(self) -> Iterator[str]:
        if self.file:
            numbers = [str(number) for number in (self.line, self.column) if number is not None]
            yield ":".join([self.file, *numbers])
        else:
            if self.line is not None:
                yield f"line {self.line}"
            if self.column:
                yield f"column {self.column}"
        if self.index is not None:
            yield f"content {self.index}"


SHOWN_PROBLEMS = 20
"""Most problems that are printed: a file of the wrong kind may have one in each of its lines."""


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems sorted by line and column; those without a place come first."""
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 turn", "2 turns"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class GemcliError(Exception):
    """An error that a user can act on. It does not change after it is made; see `replace`.

    `reason` decides everything a script sees. `hint` replaces the reason's own. `outcome` says what
    is known of a request that was recorded as sent: `rejected` (safe to send again) or `unknown`.
    `http` is the status of the answer, `retry_after` the seconds that the server asked to wait,
    `partial` the received part of an answer. `exit_code` is only given for signals: 128 plus their
    number.
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
        partial: object = None,
    ) -> None:
        super().__init__(message)
        kind = REASONS[reason]
        self.reason: Final = reason
        self.message: Final = message
        self.code: Final = kind.code
        self.status: Final = kind.status
        self.exit: Final = EXIT[kind.status] if exit_code is None else exit_code
        self.retryable: Final = kind.retryable
        self.hint: Final = hint or kind.hint
        self.problems: Final = tuple(problems)
        self.outcome: Final = outcome
        self.http: Final = http
        self.retry_after: Final = retry_after
        self.attempts: Final = attempts
        self.partial: Final = partial

    def replace(self, **changes: object) -> Self:
        """The same error with other values for some attributes; cause and traceback stay."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__ | changes)
        other.args = (other.message,)
        other.__cause__ = self.__cause__
        return other.with_traceback(self.__traceback__)

    def of_session(self, session: str | None) -> Self:
        """The same error, whose hint names the session, if there is one, where it says SESSION."""
        if session is None or self.hint is None or "SESSION" not in self.hint:
            return self
        quoted = shlex.quote(session)
        return self.replace(hint=re.sub(r"\bSESSION\b", lambda _: quoted, self.hint))

    def to_json(self) -> dict[str, object]:
        """The error as one JSON object, as scripts read it. Unknown facts are null."""
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
            "problems": [vars(problem) for problem in self.problems[:SHOWN_PROBLEMS]],
            "problem_count": len(self.problems),
        }


def unexpected(error: BaseException, outcome: str | None = None) -> GemcliError:
    """The error for an exception that nobody has foreseen: out of resources, or a bug."""
    if missing := missing_resource(error):
        return GemcliError("OUT_OF_RESOURCES", missing, outcome=outcome)
    return GemcliError("BUG", f"{type(error).__name__}: {error}", outcome=outcome)


def missing_resource(error: BaseException) -> str | None:
    """What this machine or this process has too little of, if that is why there is an error."""
    text = str(error)
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "no more files can be opened"
    if isinstance(error, RuntimeError) and "start new thread" in text:
        return "no more threads can be started"
    no_room = isinstance(error, ImportError) and "failed to map" in text
    if no_room or isinstance(error, MemoryError) or getattr(error, "errno", 0) == errno.ENOMEM:
        return "there is not enough memory"
    return None


def require_none(problems: Sequence[Problem], what: str, reason: ReasonName) -> None:
    """Raise `GemcliError` with every problem, if there are any; `what` names what was checked."""
    if problems:
        count = counted(len(problems), "problem")
        raise GemcliError(reason, f"{what}: {count}", problems=problems)
