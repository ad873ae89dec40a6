"""Secrets by reference: `${secret:NAME}` in parameters of stages, resolved when a stage is compiled, never stored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\{secret:([A-Za-z0-9_]+)\}")
_MARK = b"${secret:"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*')
"""A string or a number in JSON."""
_NUMBER = 4
"""Digits from which on a number is looked for among secrets: shorter ones are counts and flags."""
_VARIABLE = "HEADRACE_SECRET_"


class Secrets:
    """Values by name, from the operator; definitions only ever name them."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    @classmethod
    def of(cls, environment: Mapping[str, str], others: Mapping[str, str] | None = None) -> Secrets:
        """Those of variables that are called `HEADRACE_SECRET_…`, and `others` where there is no such variable."""
        own = {n.removeprefix(_VARIABLE): value for n, value in environment.items() if n.startswith(_VARIABLE)}
        return cls({**(others or {}), **own})

    def resolved(self, parameters: bytes, field: str) -> bytes:
        """Parameters (a JSON object) with values in place of references.

        Raises InvalidError for an unknown name, and for a reference that is malformed: it would stand as text.
        """
        if _MARK not in parameters:
            return parameters
        return msgspec.json.encode(self._walked(msgspec.json.decode(parameters), field))

    def _walked(self, value: Any, field: str) -> Any:
        if isinstance(value, str):
            if _MARK.decode() in _REFERENCE.sub("", value):
                raise InvalidError(
                    "a reference to a secret is ${secret:NAME}, with letters, digits and _ in NAME", field
                )
            return _REFERENCE.sub(lambda match: self._value(match.group(1), field), value)
        if isinstance(value, dict):
            return {name: self._walked(each, f"{field}.{name}") for name, each in value.items()}
        if isinstance(value, list):
            return [self._walked(each, f"{field}[{i}]") for i, each in enumerate(value)]
        return value

    def _value(self, name: str, field: str) -> str:
        if name not in self._values:
            raise InvalidError(
                f"this proxy knows no secret [{name}]; give it the environment variable {_VARIABLE}{name}, or a "
                f"file secret_{name} in secrets_dir",
                field,
            )
        return self._values[name]

    def hidden(self, text: str) -> str:
        """`text` with no secret in it, for errors. A secret that has another one in it is replaced first."""
        for value in sorted(filter(None, self._values.values()), key=len, reverse=True):
            text = text.replace(value, "***")
        return text

    def hidden_in(self, text: bytes) -> bytes:
        """JSON with no secret in its strings and names, however they are escaped, nor as a number."""
        if not any(self._values.values()):
            return text
        return _TOKEN.sub(self._hidden_token, text)

    def _hidden_token(self, match: re.Match[bytes]) -> bytes:
        token = match.group()
        if token[:1] != b'"':
            return b'"***"' if len(token) >= _NUMBER and token.decode() in self._values.values() else token
        try:
            value = msgspec.json.decode(token)
        except msgspec.DecodeError:
            # Half a surrogate pair: nobody reads it as text, but what stands beside it.
            return self.hidden(token.decode()).encode()
        shown = self.hidden(value)
        return token if shown == value else msgspec.json.encode(shown)
