"""Which documents of a bulk are sent once more after the cluster refused them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from headrace.handlers.write.fitting import _refused

REFUSED = msgspec.Raw(
    b'{"index":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse field [n]"}}}'
)
WRITTEN = msgspec.Raw(b'{"index":{"status":201}}')
FITTED: list[Any] = [SimpleNamespace(indexes={"fit"})]


def refused(body: bytes, *items: msgspec.Raw, default: str | None = None) -> list[tuple[int, str, bytes, bytes]]:
    found = _refused(default, FITTED, body, list(items))
    return [(each.position, each.index, each.action, each.source.strip()) for each in found]


def test_an_action_is_sent_with_its_own_document():
    body = b'{"delete":{"_index":"fit","_id":"1"}}\n{"index":{"_index":"fit","_id":"2"}}\n{"n":"x"}\n'
    expected = [(1, "fit", b'{"index":{"_index":"fit","_id":"2"}}', b'{"n":"x"}')]
    assert refused(body, WRITTEN, REFUSED) == expected


@pytest.mark.parametrize("blank", [b"", b" ", b"\t", b"\r", b"\x0c"])
def test_a_document_is_no_action_behind_blank_lines(blank: bytes):
    """A blank line behind an action is its document, and before an action nothing."""
    first = b'{"index":{"_index":"plain"}}\n' + blank + b"\n" + blank + b"\n"
    body = first + b'{"index":{"_index":"fit"}}\n{"index":{"_index":"hidden"}}\n{"index":{"_index":"fit"}}\n{"n":1}\n'
    expected = [(1, "fit", b'{"index":{"_index":"fit"}}', b'{"index":{"_index":"hidden"}}')]
    assert refused(body, WRITTEN, REFUSED, WRITTEN) == expected


def test_documents_of_other_indexes_stay_refused():
    body = b'{"index":{"_index":"plain"}}\n{"n":"x"}\n{"index":{}}\n{"n":"y"}\n'
    assert refused(body, REFUSED, REFUSED, default="fit") == [(1, "fit", b'{"index":{}}', b'{"n":"y"}')]
    assert refused(body, REFUSED, REFUSED, default="plain") == []


def test_an_answer_with_another_number_of_items_is_not_worked_on():
    assert refused(b'{"index":{"_index":"fit"}}\n{"n":"x"}\n', REFUSED, REFUSED) == []
