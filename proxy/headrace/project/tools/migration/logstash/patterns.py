"""Ruby's regular expressions as those of CEL and of Java: the part of the syntax that means the same."""

from __future__ import annotations

from headrace.project.tools.migration.model import Unsupported

_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\x0B\f\r "}
"""Ruby's classes of characters, which are ASCII."""
_ESCAPED = frozenset(".^$|()[]{}*+?\\/-#&~@%:;,=!<>\"' _`tnrf")
"""Characters that may stand behind a backslash and mean the same in all three."""


def portable(pattern: str) -> str:
    """A pattern that finds the same text in Ruby, Java and CEL. Raises Unsupported for the rest of the syntax."""
    parts: list[str] = []
    position, inside, lines = 0, False, False
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            position += 1
            parts.append(_escape(pattern[position : position + 1], inside=inside))
        elif inside:
            if character == "[" or pattern.startswith("&&", position):
                raise Unsupported("the regular expression has a class inside a class")
            inside = character != "]"
            parts.append(character)
        else:
            inside = _outside(pattern, position)
            lines = lines or character in "^$."
            parts.append(character)
            if inside and pattern[position + 1 : position + 2] in ("]", "^"):
                parts.append(_first_of_class(pattern, position + 1))
                position += 1
        position += 1
    return ("(?m)" if lines else "") + "".join(parts)


def _first_of_class(pattern: str, position: int) -> str:
    if pattern[position] == "]" or pattern[position + 1 : position + 2] == "]":
        raise Unsupported("the regular expression has a class that begins with ]")
    return "^"


def _outside(pattern: str, position: int) -> bool:
    """Whether a class begins at a character outside of one."""
    character = pattern[position]
    if character == "(" and pattern.startswith("(?", position) and not pattern.startswith("(?:", position):
        raise Unsupported("the regular expression has a group of the form (?…")
    if character in "*+?}" and pattern[position + 1 : position + 2] == "+":
        raise Unsupported("the regular expression has a possessive quantifier")
    if character == "[" and pattern.startswith("[[", position):
        raise Unsupported("the regular expression has a class inside a class")
    return character == "["


def _escape(character: str, *, inside: bool) -> str:
    if character.lower() in _CLASSES and character:
        if character.islower():
            return _CLASSES[character] if inside else f"[{_CLASSES[character]}]"
        if not inside:
            return f"[^{_CLASSES[character.lower()]}]"
    if character and character in _ESCAPED:
        return character if character in "/\"'@%:;,=!_` " else "\\" + character
    raise Unsupported(f"the regular expression has \\{character}, which differs between Ruby, Java and CEL")
