"""Options of a job that goes on: each says what the record says, or the command fails; none is ignored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.backfill.cluster.records import JobRecord
from headrace.cli.commands.jobs.options import Options
from headrace.cli.commands.jobs.resuming import resumed, stored_of
from headrace.cli.errors import ExitCode, Failure

SWITCHES = ("same_index", "delete_dropped", "replace")
TEXTS = {"source": ("a", "b"), "target": ("t", "u"), "pipeline": ("p@1", "p@2"), "alias": ("x", "y")}
TEXTS |= {"dead_letters": ("d", "e"), "id_field": ("n", "m"), "query": ('{"match_all":{}}', '{"match_none":{}}')}
VALUES: dict[str, tuple[Any, ...]] = {name: (*values, None) for name, values in TEXTS.items()}
VALUES |= dict.fromkeys(SWITCHES, (True, False)) | {"mirror": (True, False, None), "slices": (1, 2, None)}
EMPTY: dict[str, Any] = dict.fromkeys(Options._fields) | dict.fromkeys(SWITCHES, False)
SAID = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()})


def record_of(said: dict[str, Any]) -> JobRecord:
    fields = {name: value for name, value in said.items() if value is not None}
    fields["stream"] = fields.pop("dead_letters", "")
    required = {"source": "a", "target": "t", "pipeline": "p@1", "job": "j", "digest": "", "created": ""}
    return JobRecord(**{**required, **fields})


@given(SAID, st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 2), max_size=3))
def test_each_option_is_that_of_the_job_or_an_error(said: dict[str, Any], asked: dict[str, int]):
    record = record_of(said)
    stored = stored_of(record)
    assert set(stored) == set(VALUES)
    given_ = {name: VALUES[name][turn % len(VALUES[name])] for name, turn in asked.items()}
    options = Options(**{**EMPTY, **given_})
    silent = {name for name, value in given_.items() if value is None or (value is False and name in SWITCHES)}
    if all(stored[name] == value for name, value in given_.items() if name not in silent):
        assert resumed(options, record) == options._replace(**stored)
        return
    with pytest.raises(Failure) as raised:
        resumed(options, record)
    assert raised.value.code == ExitCode.USAGE
    assert raised.value.field in set(given_) - silent


def test_a_query_is_the_same_however_it_is_spelled():
    stored = '{"query_string":{"query":"level:WARN"}}'
    for text in ("level:WARN", stored, '{ "query_string": {"query": "level:WARN"} }'):
        assert resumed(Options(**{**EMPTY, "query": text}), record_of({"query": stored})).query == stored
