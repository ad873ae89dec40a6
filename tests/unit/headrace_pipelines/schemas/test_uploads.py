"""Uploads that are no code end with an error that names the field, never as a defect."""

from __future__ import annotations

import base64
import json

import pytest

from headrace_pipelines.errors import InvalidError
from headrace_pipelines.udf import archives, manifest

STORED = archives.MAGIC.decode() + "{}"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"language": "wasm", "wasm": "\x86e"}, "wasm"),
        ({"language": "rust", "wasm": "é"}, "wasm"),
        ({"language": "python", "wasm": base64.b64encode(b"\xff\xfe").decode()}, "wasm"),
        ({"language": "javascript", "wasm": base64.b64encode(b"\xff\xfe").decode()}, "wasm"),
        ({"language": "python", "wasm": base64.b64encode(STORED.encode()).decode()}, "wasm"),
        ({"language": "python", "source": STORED}, "source"),
        ({"language": "python", "source": "", "packages": ["é"]}, "packages[0]"),
        ({"language": "python", "source": "", "packages": ["eHg="]}, "packages[0]"),
    ],
)
def test_json(fields, field):
    with pytest.raises(InvalidError) as error:
        manifest.parse(json.dumps(fields).encode(), "u")
    assert error.value.field == field


@pytest.mark.parametrize("code", [STORED.encode(), b"\xff\xfe"])
def test_bare_code(code):
    with pytest.raises(InvalidError) as error:
        manifest.raw(code, "u", "", "python")
    assert error.value.field == "source"
