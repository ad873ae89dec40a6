"""`python` / `javascript` / `wasm`: a UDF in a sandbox of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_pipelines.definition import PipelineType
from headrace_pipelines.engine import Step
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.udf.catalog import started
from headrace_pipelines.udf.manifest import FLAT, Manifest, bind_parameters

if TYPE_CHECKING:
    from headrace_pipelines._wasm import Udf
    from headrace_pipelines.definition import UdfConfig
    from headrace_pipelines.engine import Batch, Condition, StageRun
    from headrace_pipelines.stages.nodes import StageContext
    from headrace_pipelines.stats import StageStats
    from headrace_pipelines.udf.catalog import Catalog
    from headrace_pipelines.udf.lines import UdfLines

INLINE = "inline"
DOCUMENTS = {PipelineType.DOCUMENT: "document", PipelineType.QUERY: "request", PipelineType.RESULT: "result"}
"""The variable of a snippet, by type of pipeline; in the scope of hits it is `hit`."""


@dataclass(frozen=True)
class UdfRunner:
    """A UDF with this stage's parameters and its own pool of sandboxes: no other stage sees its memory."""

    udf: Udf
    manifest: Manifest
    parameters: bytes
    target_field: str | None
    merge: bool
    per_hit: bool
    everywhere: bool
    stats: StageStats
    lines: UdfLines
    flat: bool = False
    single: bool = False
    """Whether a batch is never more than one document."""
    slow: bool = True
    hides: frozenset[str] = frozenset()
    reads_strictly: bool = False

    @classmethod
    def build(
        cls, config: UdfConfig, manifest: Manifest, code: bytes, kind: PipelineType, catalog: Catalog, field: str
    ) -> UdfRunner:
        """Binds the UDF's module to the stage's parameters. Raises InvalidError."""
        parameters = bind_parameters(manifest, config.parameters, f"{field}.parameters")
        parameters = catalog.secrets.resolved(parameters, f"{field}.parameters")
        try:
            udf = catalog.udf(manifest, code, parameters, f"{field}.udf_name")
        except InvalidError as error:
            if error.field == f"{field}.udf_name":
                raise
            raise InvalidError(f"UDF [{manifest.label}]: {error.reason}", f"{field}.udf_name") from None
        return cls._of(config, udf, manifest, parameters, kind, catalog)

    @classmethod
    def inline(
        cls, config: UdfConfig, language: str, kind: PipelineType, label: str, catalog: Catalog, field: str
    ) -> UdfRunner:
        """A snippet in the stage itself. Raises InvalidError with line and column of what is wrong."""
        manifest = Manifest(name=INLINE, version=label, language=language)
        parameters = bind_parameters(manifest, config.parameters, f"{field}.parameters")
        parameters = catalog.secrets.resolved(parameters, f"{field}.parameters")
        document = "hit" if config.scope == "hit" else DOCUMENTS[kind]
        code = (config.code or "").encode()
        udf = started(catalog.udf(manifest, code, parameters, f"{field}.code", inline=document), f"{field}.code")
        return cls._of(config, udf, manifest, parameters, kind, catalog)

    @classmethod
    def _of(
        cls,
        config: UdfConfig,
        udf: Udf,
        manifest: Manifest,
        parameters: bytes,
        kind: PipelineType,
        catalog: Catalog,
    ) -> UdfRunner:
        whole = kind is PipelineType.RESULT and config.scope != "hit"
        return cls(
            udf,
            manifest,
            parameters,
            config.target_field,
            config.merge,
            per_hit=config.scope == "hit",
            everywhere=config.protect,
            stats=catalog.stats(manifest),
            lines=catalog.lines(manifest.name),
            flat=whole and FLAT in (config.view, manifest.view),
            single=kind is not PipelineType.DOCUMENT and config.scope != "hit",
            hides=frozenset(manifest.fields),
            reads_strictly=manifest.language == "python" and kind is PipelineType.DOCUMENT and not manifest.metadata,
        )

    @property
    def breaker(self) -> tuple[bool, int]:
        """Whether the UDF is not called for a while, and how often that has happened."""
        return self.udf.breaker

    @property
    def does(self) -> tuple[str, str]:
        """The language, and the UDF with its version."""
        return self.manifest.language, self.manifest.label

    def keep_lines(self, pipeline: str, stage: str, logs: list[tuple[int, int, str]]) -> None:
        """Keeps the lines that a run has logged."""
        self.lines.add(self.manifest.label, pipeline, stage, logs)

    def run(self, batch: Batch, context: StageContext, *, abort: bool, label: str) -> StageRun:
        """One pass over the batch."""
        return batch.run_udf(
            self.udf,
            context.deadline,
            abort=abort,
            pipeline=context.pipeline,
            stage=label,
            processor=self.manifest.name,
            timeout=context.timeout,
            target_field=self.target_field,
            merge=self.merge,
            metadata=self.manifest.metadata,
            flat=self.flat,
        )

    def fused_step(self, label: str, condition: Condition | None, aborts: bool | None) -> Step | None:
        """The same for one document between its neighbours; `None` for one that takes many in a call, or a view."""
        if self.flat:
            return None
        return Step.udf(
            label,
            self.udf,
            condition=condition,
            aborts=aborts,
            processor=self.manifest.name,
            target_field=self.target_field,
            merge=self.merge,
            metadata=self.manifest.metadata,
            single=self.single,
        )
