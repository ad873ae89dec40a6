"""`python` / `wasm`: an uploaded UDF in a sandbox of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.errors import InvalidError
from pipelines.udf.manifest import bind_parameters

if TYPE_CHECKING:
    from pipelines._wasm import Udf
    from pipelines.batch import Batch, StageRun
    from pipelines.context import StageContext
    from pipelines.definition import UdfConfig
    from pipelines.stats import StageStats
    from pipelines.udf.catalog import Catalog
    from pipelines.udf.manifest import Manifest


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
    slow: bool = True

    @classmethod
    def build(cls, config: UdfConfig, manifest: Manifest, code: bytes, catalog: Catalog, field: str) -> UdfRunner:
        """Binds the UDF's module to the stage's parameters. Raises InvalidError."""
        parameters = bind_parameters(manifest, config.parameters, f"{field}.parameters")
        module = catalog.module(code, manifest.entry, f"{field}.udf_name")
        try:
            udf = catalog.bind(manifest, module, parameters)
        except InvalidError as error:
            raise InvalidError(f"UDF [{manifest.label}]: {error.reason}", f"{field}.udf_name") from None
        return cls(
            udf,
            manifest,
            parameters,
            config.target_field,
            config.merge,
            per_hit=config.scope == "hit",
            everywhere=config.protect,
            stats=catalog.stats(manifest),
        )

    def run(self, batch: Batch, context: StageContext, *, abort: bool, label: str) -> StageRun:
        """One pass over the batch."""
        run = batch.run_udf(
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
        )
        if context.counted:
            self.stats.add(run)
        return run
