"""Default document pipelines of names, found once for a snapshot and a view."""

from __future__ import annotations

import pytest

from headrace.execution import choice
from headrace.execution.choice import LatestAttachments
from headrace.protocol.indices.view import View
from headrace_pipelines.registry import Snapshot, build
from headrace_pipelines.registry.association import Association
from headrace_pipelines.udf.catalog import Catalog
from tests.conftest import native
from tests.unit.headrace_pipelines.registry.test_registry import pipeline, records

SET = native("s", "set", field="a", value=1)
FIT = native("f", "fit_mapping")
ALIASES = {name: {"aliases": {}} for name in ("i", "j", "k", ".registry")} | {"k": {"aliases": {"alias": {}}}}
VIEW = View.of(ALIASES, {"indices": [], "data_streams": [{"name": "stream", "backing_indices": ["i"]}]})


def snapshot_of(**attached: str) -> Snapshot:
    associations = [Association(index=index, document=name) for index, name in attached.items()]
    made = records(pipeline("a", SET), pipeline("fits", FIT), associations=associations)
    return build(made, {}, Catalog(), Snapshot())


@pytest.fixture
def latest() -> LatestAttachments:
    return LatestAttachments(".registry")


def test_the_names_of_a_view(latest: LatestAttachments):
    snapshot = snapshot_of(k="a", stream="fits")
    attachments = latest.of(snapshot, VIEW)
    for _ in range(2):
        found = {name: attachments.find(name) for name in ("alias", "k", "stream", "i", "j")}
        labels = {name: each and each.pipeline and each.pipeline.label for name, each in found.items()}
        assert labels == {"alias": "a@1", "k": "a@1", "stream": "fits@1", "i": "fits@1", "j": None}
        assert [name for name, each in found.items() if each and not each.plain] == ["stream", "i"]
        for unknown in (None, "unknown", ".registry", "<.reg{now{'istry'}}>", "<i-{now/d}>"):
            assert attachments.find(unknown) is None


def test_another_snapshot_or_view_says_anew(latest: LatestAttachments):
    snapshot, other = snapshot_of(j="a"), snapshot_of()
    first = latest.of(snapshot, VIEW)
    assert latest.of(snapshot, VIEW) is first
    view = View.of({"l": {"aliases": {"j": {}}}}, {"indices": [], "data_streams": []})
    assert [
        latest.of(*each).find("j").pipeline is None for each in ((snapshot, VIEW), (other, VIEW), (snapshot, view))
    ] == [
        False,
        True,
        True,
    ]


def test_they_are_bounded(latest: LatestAttachments, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(choice, "MAX_ATTACHED", 2)
    attachments = latest.of(snapshot_of(j="a"), VIEW)
    for name in ("i", "j", "k") * 3:
        assert (attachments.find(name).pipeline is not None) == (name == "j")
    assert len(attachments._found) == 2
