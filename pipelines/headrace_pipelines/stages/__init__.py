"""What a stage can be: a `leaf` at work (by `udf` or `native`), or other stages (`composite`); `base` makes them."""

from headrace_pipelines.stages.base import Resolver, compile_stages
from headrace_pipelines.stages.composite import CompiledStage, Composite, Course, Together, courses_of
from headrace_pipelines.stages.leaf import Leaf

__all__ = [
    "CompiledStage",
    "Composite",
    "Course",
    "Leaf",
    "Resolver",
    "Together",
    "compile_stages",
    "courses_of",
]
