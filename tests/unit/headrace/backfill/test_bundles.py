"""Bundles: a reference that may be missing is left out where it is missing, not where nobody can say."""

from __future__ import annotations

import json

import pytest

from headrace.backfill.bundles import bundle_of
from headrace.client.errors import ClientError, UnreachableError
from headrace_pipelines.definition import PipelineDefinition, parse
from tests.conftest import native


class Origin:
    """A pipeline that calls another one, which may be missing. `error`: what is said of that one."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def pipeline(self, name: str, version: str | None) -> PipelineDefinition:
        if name != "p":
            raise self.error
        stage = native("c", "pipeline", name="other", ignore_missing_pipeline=True)
        return parse(json.dumps({"type": "document", "version": "1", "stages": [stage]}).encode(), name)

    def udf(self, name: str, version: str | None) -> tuple[str, bytes]:
        raise AssertionError


def test_only_what_is_missing_is_left_out():
    assert [name for name, _ in bundle_of(Origin(ClientError(404, "no")), "p").bundle.pipelines] == ["p"]
    for error in (ClientError(503, "busy"), ClientError(403, "no"), UnreachableError("away")):
        with pytest.raises(type(error)):
            bundle_of(Origin(error), "p")
