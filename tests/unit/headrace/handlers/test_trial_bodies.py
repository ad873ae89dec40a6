"""Errors of the bodies of trial runs name the member and the members that there are."""

from __future__ import annotations

import pytest

from headrace.handlers.admin.pipelines import TrialRequest
from headrace.handlers.admin.trials.simulate import decode_body
from headrace_pipelines.errors import InvalidError


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (b'{"inptu": {}}', "inptu", "did you mean [input]? Fields: input, docs, pipeline, parameters, verbose"),
        (
            b'{"docs": [{"_source": {}}, {"_sourc": {}}]}',
            "docs[1]._sourc",
            "did you mean [_source]? Fields: _source, _index, _id, _routing",
        ),
        (b'{"docs": [{}]}', "docs[0]._source", "required field [_source] is missing"),
        (b'{"verbose": 1}', "verbose", "Expected `bool`, got `int`"),
    ],
)
def test_faults_name_the_members(body: bytes, field: str, words: str):
    with pytest.raises(InvalidError) as caught:
        decode_body(body, TrialRequest)
    assert caught.value.field == field
    assert words in caught.value.reason
