"""The code of a job from the state folder of a proxy: its copy of the registry, without the proxy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headrace.backfill.bundles import upload_of
from headrace.backfill.spec import BackfillError
from headrace.registry.local_copy import Copy
from headrace.registry.records_codec import records_of
from headrace.registry.signatures import Signer, secrets_of
from headrace.registry.state_files import NODES
from headrace_pipelines.definition import PipelineType
from headrace_pipelines.registry import key, version_order

if TYPE_CHECKING:
    from pathlib import Path

    from headrace_pipelines.definition import PipelineDefinition
    from headrace_pipelines.registry import Records

VARIABLE = "HEADRACE_REGISTRY_SECRET"
"""The environment variable with the secret of a registry whose proxies have been given one."""


class StateFolder:
    """The copy of a registry, as far as its signatures hold. Raises BackfillError for a folder that has none."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "registry.json").is_file():
            raise BackfillError(f"[{folder}] is no state folder: it has no registry.json", "state")
        given, own = os.environ.get(VARIABLE, ""), folder / "registry.key"
        if not given and not own.is_file():
            raise BackfillError(f"the copy in [{folder}] is signed with a secret: name it in {VARIABLE}", "state")
        nodes = folder / NODES
        index = nodes.read_text().splitlines()[0] if nodes.is_file() else ".headrace-registry"
        secret = given.encode() if given else own.read_bytes()
        self._copy = Copy(folder, Signer(secrets_of(secret, given), index))
        found = self._copy.read()
        if found is None or not found.whole:
            raise BackfillError(f"the copy of the registry in [{folder}] is not whole, or not of this secret", "state")
        self._records: Records = records_of(found.entries)

    def pipeline(self, name: str, version: str | None) -> PipelineDefinition:
        """A document pipeline, in the active version where none is named. Raises BackfillError."""
        named = key(PipelineType.DOCUMENT, name)
        wanted = version or self._records.active.get(named)
        for record in self._records.pipelines:
            if record.name == named and record.version == wanted:
                return record.definition
        raise BackfillError(f"the state folder has no document pipeline [{name}@{wanted}]", "pipeline")

    def udf(self, name: str, version: str | None) -> tuple[str, bytes]:
        """The version of a UDF, and the body that would upload it. Raises BackfillError."""
        found = [each for each in self._records.udfs if each.name == name]
        wanted = (
            version
            or self._records.current.get(name)
            or max((each.version for each in found), key=version_order, default="")
        )
        for record in found:
            if record.version == wanted and (code := self._copy.code(record.digest)) is not None:
                return wanted, upload_of(record.manifest, code)
        raise BackfillError(f"the state folder has no code of the UDF [{name}@{wanted}]", "pipeline")
