"""Records of dead letters, and the bound on their number."""

from __future__ import annotations

import pytest

from headrace.ops.metrics.rate import Rate
from headrace.protocol.indices.dead_letter_record import DeadLetter, Fault, original_of, text_of
from headrace_pipelines.definition import DeadLetters


def letter(text: bytes = b"{}", reason: str = "failed to parse field [a.b] of type", **parts: str) -> DeadLetter:
    return DeadLetter(DeadLetters(), "index", "logs", text, Fault("mapping", 400, "t", reason), **parts)


def test_a_record_of_a_document_with_an_id_is_the_same_for_the_same_text():
    assert letter(id="1").record_id() == letter(id="1").record_id()
    ids = {letter(id="1").record_id(), letter(id="2").record_id(), letter(b"[]", id="1").record_id()}
    ids |= {letter(id="1", routing="r").record_id(), letter(id="1", named="p").record_id()}
    assert len(ids) == 5
    assert letter().record_id() != letter().record_id()


def test_a_group_is_what_fails_alike():
    assert letter(id="1").group() == letter(b"[]").group()
    assert letter().group() != letter(reason="failed to parse field [c] of type").group()
    assert letter().fault.field == "a.b"
    assert letter(reason="no").fault.field is None


@pytest.mark.parametrize(
    "text", [b'{"a":"\xc3\xa9\\ud800"}', b"\xff\xfe", b"", b'{"a":"\x00\x7f\xe2\x80\xa8"}', bytes(range(256))]
)
def test_every_text_survives(text: bytes):
    assert text_of(original_of(text)) == text


def test_a_rate_admits_what_has_flowed_in():
    now = 0.0
    rate = Rate(10, lambda: now)
    assert rate.admit(7) == 7
    assert rate.admit(7) == 3
    assert rate.admit(1) == 0
    now = 0.5
    assert rate.admit(100) == 5
    now = 60.0
    assert rate.admit(100) == 10
    rate.adopt(2)
    now = 120.0
    assert rate.admit(100) == 2
