"""What a UDF is given and may answer: for editors and type checkers, written by `headrace udf new`.

In the sandbox the module is there too, and all these are plain dicts.
"""

from typing import Any, Literal, TypeAlias, overload

Document: TypeAlias = dict[str, Any]
"""The document; in query pipelines the search body, in result pipelines the response, in hit scope one hit."""
Params: TypeAlias = dict[str, Any]
"""The parameters of the stage."""
Result: TypeAlias = Document | list[Document] | str | float | bool | None
"""A dict replaces the document, None leaves it; True keeps and False drops it; a list makes several of it."""

class Context(dict[str, Any]):
    """What later stages see too; `index`, `id`, `routing` (where a document has them), `pipeline` are Headrace's."""

    @overload
    def __getitem__(self, key: Literal["index", "id", "routing", "pipeline"], /) -> str: ...
    @overload
    def __getitem__(self, key: Literal["on_failure"], /) -> dict[str, str]: ...
    @overload
    def __getitem__(self, key: str, /) -> Any: ...
    @overload
    def get(self, key: Literal["index", "id", "routing", "pipeline"], default: str | None = None, /) -> str | None: ...
    @overload
    def get(self, key: str, default: Any = None, /) -> Any: ...
