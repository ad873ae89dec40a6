"""Tokens of a Logstash pipeline configuration, with their lines."""

from __future__ import annotations

import re
from typing import NamedTuple

from headrace.project.tools.migration.model import MOST_CHARACTERS, MigrationError

_TOKEN = re.compile(
    r"""(?P<space>[\s]+|\#[^\n]*)
    |(?P<string>"(?:\\"|\\(?!")|[^"\\])*"|'(?:\\'|\\(?!')|[^'\\])*')
    |(?P<op>=>|==|!=|<=|>=|=~|!~|<|>|!|[{}(),])
    |(?P<selector>(?:\[[^\[\]"',{}]+\])+)
    |(?P<bracket>[\[\]])
    |(?P<number>-?[0-9]+(?:\.[0-9]*)?(?![A-Za-z0-9_]))
    |(?P<word>[A-Za-z0-9_][A-Za-z0-9_-]*)""",
    re.VERBOSE,
)
_REGEX = re.compile(r"\s*/((?:\\/|\\(?!/)|[^/\\])*)/")


class Token(NamedTuple):
    """A token: its kind, its text without quotes, its line from 1."""

    kind: str
    text: str
    line: int


def tokens(text: str) -> list[Token]:
    """The tokens of a configuration. Raises MigrationError for a text that is too long or has no such tokens."""
    if len(text) > MOST_CHARACTERS:
        raise MigrationError(f"the configuration has more than {MOST_CHARACTERS} characters")
    result: list[Token] = []
    position, line = 0, 1
    while position < len(text):
        after_match = bool(result) and result[-1].kind == "op" and result[-1].text in ("=~", "!~")
        regex = _REGEX.match(text, position) if after_match else None
        found = regex or _TOKEN.match(text, position)
        if found is None:
            raise MigrationError(_unreadable(text[position]), line)
        if regex:
            result.append(Token("regex", regex[1].replace("\\/", "/"), line))
        elif found.lastgroup == "string":
            result.append(Token("string", found[0][1:-1], line))
        elif found.lastgroup != "space":
            kind = "op" if found.lastgroup == "bracket" else str(found.lastgroup)
            result.append(Token(kind, found[0], line))
        line += text.count("\n", position, found.end())
        position = found.end()
    return [*result, Token("end", "", line)]


def _unreadable(character: str) -> str:
    if character in "\"'":
        return "the string that begins here has no end"
    return f"the character {character!r} is not expected here"
