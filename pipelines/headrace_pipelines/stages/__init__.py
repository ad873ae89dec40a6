"""Stages: compiled from their definitions (`compile`) into nodes (`nodes`) that run a built-in or a UDF.

`native` binds built-ins, `udf` binds UDFs, `policy` says what a failure of a stage means.
"""

from headrace_pipelines.stages.compile import Resolver, compile_stages
from headrace_pipelines.stages.nodes import (
    CompiledStage,
    Composite,
    ExecutionUnit,
    FusedGroup,
    StageContext,
    StageNode,
    group_stages,
)

__all__ = [
    "CompiledStage",
    "Composite",
    "ExecutionUnit",
    "FusedGroup",
    "Resolver",
    "StageContext",
    "StageNode",
    "compile_stages",
    "group_stages",
]
