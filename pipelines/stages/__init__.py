"""What a stage can be: a UDF (`udf`), a built-in (`native`), other stages (`composite`); `base` makes them."""

from pipelines.stages.base import CompiledStage, Leaf, Resolver, compile_stages
from pipelines.stages.composite import Composite

__all__ = ["CompiledStage", "Composite", "Leaf", "Resolver", "compile_stages"]
