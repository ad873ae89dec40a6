"""What a stage can be: a UDF (`udf`), a built-in (`native`), other stages (`composite`); `base` makes them."""

from pipelines.stages.base import CompiledStage, Course, Leaf, Resolver, Together, compile_stages, courses_of
from pipelines.stages.composite import Composite

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
