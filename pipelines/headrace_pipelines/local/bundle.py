"""A bundle: definitions of pipelines with the code of their UDFs, to be sent to the processes that run them."""

from __future__ import annotations

import hashlib
from functools import cached_property

import msgspec


class Bundle(msgspec.Struct, frozen=True, dict=True):
    """Everything that a run needs but secrets; it can be pickled, and written as JSON.

    `pipelines`: names and bodies of `PUT /_pipeline/{name}`, with their versions; of several versions of a pipeline the
    last one is active. `udfs`: names and bodies of `PUT /_udf/{name}`. References to secrets stay references: each
    process has them resolved by its own environment.
    """

    pipelines: tuple[tuple[str, bytes], ...]
    udfs: tuple[tuple[str, bytes], ...] = ()

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the content, as 64 hexadecimal digits: the same wherever the same code would run."""
        whole = hashlib.sha256()
        for part in (self.pipelines, self.udfs):
            for name, body in part:
                for text in (name.encode(), body):
                    whole.update(len(text).to_bytes(8, "big"))
                    whole.update(text)
            whole.update(b"\xff" * 8)
        return whole.hexdigest()

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, text: bytes) -> Bundle:
        """From JSON. Raises msgspec.ValidationError."""
        return msgspec.json.decode(text, type=cls)
