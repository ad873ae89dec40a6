"""The names that a UDF in Python is written with: `from headrace.udf import Document, Params, Result, udf`.

The sandbox has a module of this name, in which a document is a plain dict. This one is for editors, type checkers and
tests that call a function directly.

    class Options(msgspec.Struct):
        by: str = " "

    @udf(params=Options, description="Normalises titles", timeout="100ms")
    def process(doc: Document, params: Options) -> Result:
        doc["title"] = params.by.join(doc["title"].lower().split())
        return doc
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar, overload

__all__ = ["Context", "Document", "Params", "Result", "udf"]

Document: TypeAlias = dict[str, Any]
"""The document; in query pipelines the search body, in result pipelines the response, in hit scope one hit."""
Params: TypeAlias = dict[str, Any]
"""The parameters of the stage, where no type of them is declared."""
Result: TypeAlias = Document | list[Document] | str | float | bool | None
"""A dict replaces the document, None leaves it; True keeps and False drops it; a list makes several of it."""
F = TypeVar("F", bound=Callable[..., Any])


class Context(dict[str, Any]):
    """What later stages see too; `index`, `id`, `routing` (where a document has them), `pipeline` are Headrace's."""

    @overload
    def __getitem__(self, key: Literal["index", "id", "routing", "pipeline"], /) -> str: ...
    @overload
    def __getitem__(self, key: Literal["on_failure"], /) -> dict[str, str]: ...
    @overload
    def __getitem__(self, key: str, /) -> Any: ...
    def __getitem__(self, key: str, /) -> Any:
        """The value of a key. Raises KeyError."""
        return super().__getitem__(key)


@overload
def udf(function: F, /) -> F: ...


@overload
def udf(
    *,
    params: type[Any] | None = None,
    name: str = ...,
    version: str = ...,
    description: str = ...,
    returns: str = ...,
    category: str = ...,
    author: str = ...,
    tags: list[str] = ...,
    fields: list[str] = ...,
    merge: bool = ...,
    metadata: bool = ...,
    isolation: Literal["document", "request", "instance"] = ...,
    view: Literal["flat"] = ...,
    timeout: str = ...,
    memory: str = ...,
    fuel: int = ...,
) -> Callable[[F], F]: ...


def udf(function: Callable[..., Any] | None = None, /, *, params: type[Any] | None = None, **facts: Any) -> Any:
    """Declares a function as the UDF of its file; the arguments are facts of its manifest, written as constants.

    `params` is a class with a field for each parameter (`msgspec.Struct`, a dataclass or a TypedDict): the function
    is given a value of it, and stages with other parameters are refused.
    `headrace apply` and `headrace udf put` read the arguments without running the code.
    """

    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__headrace_params__ = params  # type: ignore[attr-defined]
        function.__headrace_facts__ = facts  # type: ignore[attr-defined]
        return function

    return decorated if function is None else decorated(function)
