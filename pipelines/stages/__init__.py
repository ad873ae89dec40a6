"""What a stage can be: a `leaf` at work (by `udf` or `native`), or other stages (`composite`); `base` makes them."""

from pipelines.stages.base import Resolver, compile_stages
from pipelines.stages.composite import CompiledStage, Composite, Course, Together, courses_of
from pipelines.stages.leaf import Leaf

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
