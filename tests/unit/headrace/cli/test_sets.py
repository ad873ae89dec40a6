"""What commands on sets print, and the pauses of `headrace sync`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from headrace.cli import sets
from headrace.cli.errors import Failure
from headrace.cli.sync import LONGEST_PAUSE, pause_after

CHANGES = [
    {"action": "create", "kind": "pipeline", "type": "document", "name": "logs", "from": None, "to": "1"},
    {"action": "detach", "kind": "association", "name": "app-*", "from": None, "to": None},
    {"action": "unchanged", "kind": "udf", "name": "titles", "from": "1", "to": "1"},
]


@pytest.mark.parametrize("patches", [True, False])
def test_names_of_changes_are_those_of_objects(capsys, patches):
    sets.emit_changes({"changes": CHANGES, "revision": 1}, "name", patches=patches)
    assert capsys.readouterr().out == "pipeline/logs\nassociation/app-*\n"


def test_a_set_without_changes_says_so(capsys):
    sets.emit_changes({"changes": CHANGES[2:], "revision": 1}, "table", patches=False)
    assert capsys.readouterr() == ("", "nothing changed\n")


@pytest.mark.parametrize("seconds", [0.001, 30.0, 3600.0])
def test_pauses_grow_to_the_longest_one_after_any_number_of_failures(seconds):
    pauses = [pause_after(failures, seconds) for failures in (0, 1, 2, 10, 40, 1_100, 10**6)]
    assert pauses == sorted(pauses)
    assert pauses[:2] == [seconds, seconds]
    assert pauses[-1] == max(LONGEST_PAUSE, seconds)


@pytest.mark.parametrize(
    ("revision", "expected", "reason"),
    [
        (3, 1, "in force in every process that has reported within 0.01 s"),
        (2, 1, "after 0.01 s revision 3 is not in force in h:7"),
        (3, 2, "revision 3 is not in force in a worker"),
    ],
)
def test_waiting_that_ends_tells_what_it_waited_for(revision, expected, reason):
    worker = {"host": "h", "process": 7, "registry": "current", "revision": revision}
    answer = {"workers": [worker], "proxies": [], "expected_workers": expected, "poll_seconds": 30.0}
    client = SimpleNamespace(registry=SimpleNamespace(revisions=lambda _: answer))
    with pytest.raises(Failure, match=reason):
        sets.wait(client, "shop", 3, 0.01)
