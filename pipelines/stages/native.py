"""`native`: a built-in of the engine, one Rust file each in `wasm-runtime/src/native/`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines._wasm import Native
from pipelines.errors import InvalidError

if TYPE_CHECKING:
    from pipelines.batch import Batch, StageRun
    from pipelines.context import StageContext
    from pipelines.definition import NativeConfig, PipelineType

FUNCTIONS: dict[str, list[str]] = dict(Native.functions())
"""Every built-in and the types of pipeline that it belongs in."""


@dataclass(frozen=True)
class NativeRunner:
    """A built-in with its parameters."""

    native: Native

    @classmethod
    def build(cls, config: NativeConfig, kind: PipelineType, field: str) -> NativeRunner:
        """Checks function and parameters. Raises InvalidError."""
        kinds = FUNCTIONS.get(config.function)
        if kinds is None:
            fitting = ", ".join(name for name, there in FUNCTIONS.items() if kind.value in there)
            raise InvalidError(f"no built-in is called [{config.function}]; there are {fitting}", f"{field}.function")
        if kind.value not in kinds:
            raise InvalidError(
                f"[{config.function}] belongs in pipelines of type {' or '.join(kinds)}, not {kind.value}",
                f"{field}.function",
            )
        try:
            return cls(Native(config.function, bytes(config.parameters)))
        except ValueError as error:
            raise InvalidError(str(error), f"{field}.parameters") from None

    def run(self, batch: Batch, context: StageContext, *, abort: bool, label: str) -> StageRun:
        """One pass over the batch."""
        return batch.run_native(self.native, abort=abort, pipeline=context.pipeline, stage=label)
