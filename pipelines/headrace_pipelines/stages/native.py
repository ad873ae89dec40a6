"""`native`: a built-in of the engine, one Rust file each in `wasm-runtime/src/native/`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from headrace_pipelines._wasm import Native
from headrace_pipelines.definition import Strict
from headrace_pipelines.engine import Step
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.errors.validation import explained, nearest

if TYPE_CHECKING:
    from headrace_pipelines.definition import NativeConfig, PipelineType
    from headrace_pipelines.engine import Batch, Condition, StageRun
    from headrace_pipelines.stages.nodes import StageContext
    from headrace_pipelines.stats import StageStats
    from headrace_pipelines.udf.secrets import Secrets

PIPELINE = "pipeline"
"""The built-in that runs another pipeline: a reference, as `composite` makes them."""
FUNCTIONS: dict[str, list[str]] = {**dict(Native.functions()), PIPELINE: ["document"]}
"""Every built-in and the types of pipeline that it belongs in."""


class _Reference(Strict, frozen=True, kw_only=True):
    name: str
    ignore_missing_pipeline: bool = False


def reference(config: NativeConfig, field: str) -> tuple[str, bool]:
    """The pipeline that `pipeline` names, and whether it may be missing. Raises InvalidError."""
    try:
        wanted = msgspec.json.decode(config.parameters, type=_Reference)
    except msgspec.ValidationError as error:
        raise explained(error, _Reference, config.parameters, f"{field}.parameters") from None
    if "{{" in wanted.name:
        raise InvalidError("the name of a pipeline cannot be a template here", f"{field}.parameters.name")
    return wanted.name, wanted.ignore_missing_pipeline


_HIDING = {"mask": "fields", "remove": "field"}
"""The built-ins that hide fields, and the parameter that names them: one name or a list."""


def _hidden_by(function: str, parameters: bytes) -> frozenset[str]:
    if function not in _HIDING:
        return frozenset()
    names = msgspec.json.decode(parameters).get(_HIDING[function], [])
    listed = [names] if isinstance(names, str) else names
    if function == "remove":
        # It works on the whole response: what it takes out of hits stands behind their `_source`.
        listed = [name.partition("._source.")[2] for name in listed]
    return frozenset(name for name in listed if name)


FIT_MAPPING = "fit_mapping"
"""The built-in that needs the mappings of indexes."""


def _target_of(function: str, parameters: bytes) -> str | None:
    if function != FIT_MAPPING:
        return None
    options = msgspec.json.decode(parameters)
    return options.get("target", "_unfit") if options.get("prepare", True) else None


def fitter(parameters: bytes) -> NativeRunner:
    """`fit_mapping` outside a pipeline. Raises InvalidError for wrong options."""
    try:
        native = Native(FIT_MAPPING, "document", parameters)
    except ValueError as error:
        raise InvalidError(str(error), "parameters") from None
    return NativeRunner(native, function=FIT_MAPPING)


def _missing(function: str, kind: PipelineType, field: str) -> InvalidError:
    fitting = [name for name, kinds in FUNCTIONS.items() if kind.value in kinds]
    hint = f": did you mean [{near}]?" if (near := nearest(function, fitting)) else "."
    return InvalidError(f"no built-in is called [{function}]{hint} There are {', '.join(fitting)}", f"{field}.function")


@dataclass(frozen=True)
class NativeRunner:
    """A built-in with its parameters."""

    native: Native
    stats: StageStats | None = None
    hides: frozenset[str] = frozenset()
    function: str = ""
    target: str | None = None
    """Of `fit_mapping`: the field that values move to, if mappings are to have it."""

    @classmethod
    def build(
        cls, config: NativeConfig, kind: PipelineType, field: str, parameters: bytes, secrets: Secrets
    ) -> NativeRunner:
        """Checks function and parameters, in which the secrets stand already. Raises InvalidError without them."""
        kinds = FUNCTIONS.get(config.function)
        if kinds is None:
            raise _missing(config.function, kind, field)
        if kind.value not in kinds:
            raise InvalidError(
                f"[{config.function}] belongs in pipelines of type {' or '.join(kinds)}, not {kind.value}",
                f"{field}.function",
            )
        try:
            native = Native(config.function, kind.value, parameters)
            hides, target = _hidden_by(config.function, parameters), _target_of(config.function, parameters)
            return cls(native, hides=hides, function=config.function, target=target)
        except ValueError as error:
            raise InvalidError(secrets.hidden(str(error)), f"{field}.parameters") from None

    @property
    def per_hit(self) -> bool:
        """Whether it works on the hits of a response, one by one."""
        return self.native.per_hit

    @property
    def everywhere(self) -> bool:
        """Whether it works on inner hits and `top_hits`, too."""
        return self.native.everywhere

    @property
    def reads_strictly(self) -> bool:
        """It reads what it needs of a document."""
        return False

    @property
    def slow(self) -> bool:
        """Whether it is kept off the event loop."""
        return self.native.slow

    @property
    def breaker(self) -> tuple[bool, int]:
        """A built-in has none."""
        return False, 0

    @property
    def does(self) -> tuple[str, str]:
        """`native`, and the built-in."""
        return "native", self.function

    def keep_lines(self, pipeline: str, stage: str, logs: list[tuple[int, int, str]]) -> None:
        """Built-ins log nothing."""

    def run(self, batch: Batch, context: StageContext, *, abort: bool, label: str) -> StageRun:
        """One pass over the batch."""
        return batch.run_native(
            self.native, context.deadline, abort=abort, pipeline=context.pipeline, stage=label, timeout=context.timeout
        )

    def fused_step(self, label: str, condition: Condition | None, aborts: bool | None) -> Step:
        """The same for one document between its neighbours."""
        return Step.native(label, self.native, condition=condition, aborts=aborts)
