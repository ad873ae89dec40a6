"""One tree of errors; each class carries the HTTP status and the OpenSearch error type that a client sees.

HeadraceError                 500 headrace_exception
├── InvalidError              400 illegal_argument_exception        the request is wrong; names the field
│   └── UnparsableError       400 parse_exception                   not JSON at all
│       └── NestedError       400 parsing_exception                 more levels of lists and objects than are read
├── MissingError              404 resource_not_found_exception
│   └── MissingIndexError     404 index_not_found_exception         an expression without an index; the cluster's words
├── ConflictError             409 version_conflict_engine_exception somebody was faster, or a version exists
│   └── InUseError            409 resource_in_use_exception         names who uses it
├── RefusedError              403 security_exception
├── UnsupportedError          501 unsupported_operation_exception   a surface that pipelines do not run on yet
├── MediaTypeError            406 media_type_header_exception       a body that we cannot read on a piped path
├── SlowClientError           408 timeout_exception                 a body that does not arrive in time
├── TooLargeError             413 content_too_large_exception
├── OverloadedError           429 rejected_execution_exception      clients retry it
├── SetError                  (400 or 409)                          all that is wrong with a set
├── StageError                (its own)                             a stage ended the request
├── EngineError               500 engine_exception                  a defect of the engine ended the request
├── RegistryError             503 registry_unavailable_exception
└── UpstreamError             502 upstream_exception
    ├── UnreachableError      503 upstream_unavailable_exception
    └── UpstreamTimeoutError  504 upstream_timeout_exception
"""

from __future__ import annotations

from typing import Any


class HeadraceError(Exception):
    """Base of the tree. `reason` is the text that the client sees and says what to do."""

    status = 500
    type = "headrace_exception"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def extra(self) -> dict[str, Any]:
        """Further keys of the error object: `field`, `pipeline`, `stage`, `errors`."""
        return {}


class InvalidError(HeadraceError):
    """Something sent by the client is wrong. `field` is its path, such as `stages[1].config.udf_name`."""

    status = 400
    type = "illegal_argument_exception"

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(f"[{field}] {reason}" if field else reason)
        self.field = field

    def extra(self) -> dict[str, Any]:
        """The field at fault."""
        return {"field": self.field} if self.field else {}


class UnparsableError(InvalidError):
    """A body that is not JSON."""

    type = "parse_exception"


class NestedError(UnparsableError):
    """A body whose lists and objects are nested deeper than JSON is read here."""

    type = "parsing_exception"

    def __init__(self) -> None:
        super().__init__("the JSON is nested too deep; send it with fewer levels")


class MissingError(HeadraceError):
    """A pipeline, a UDF or a version that is not there."""

    status = 404
    type = "resource_not_found_exception"


class MissingIndexError(MissingError):
    """An index expression that the cluster would not find an index for. `name` is its part at fault."""

    type = "index_not_found_exception"

    def __init__(self, name: str) -> None:
        super().__init__(f"no such index [{name}]")
        self.name = name

    def extra(self) -> dict[str, Any]:
        """The keys that the cluster's own error has."""
        return {
            "index": self.name,
            "resource.id": self.name,
            "resource.type": "index_or_alias",
            "index_uuid": "_na_",
        }


class ConflictError(HeadraceError):
    """A version that exists with other content, or a race that another writer has won."""

    status = 409
    type = "version_conflict_engine_exception"


class InUseError(ConflictError):
    """A pipeline or a UDF that cannot go because something uses it."""

    type = "resource_in_use_exception"


class SetError(HeadraceError):
    """Everything that is wrong with a set: `errors`, each with kind and name of its object, field and reason."""

    def __init__(self, status: int, type_: str, reason: str, errors: list[dict[str, Any]]) -> None:
        super().__init__(reason)
        self.status = status
        self.type = type_
        self.errors = errors

    def extra(self) -> dict[str, Any]:
        """All of the errors."""
        return {"errors": self.errors}


class RefusedError(HeadraceError):
    """Something that this caller may not do here."""

    status = 403
    type = "security_exception"


class UnsupportedError(HeadraceError):
    """A request that a pipeline concerns, on a surface where pipelines do not run yet: refused, never bypassed."""

    status = 501
    type = "unsupported_operation_exception"


class MediaTypeError(HeadraceError):
    """A content type that a stage cannot read."""

    status = 406
    type = "media_type_header_exception"


class SlowClientError(HeadraceError):
    """A body that does not arrive in time."""

    status = 408
    type = "timeout_exception"


class TooLargeError(HeadraceError):
    """A body over the limit, counted after inflating."""

    status = 413
    type = "content_too_large_exception"


class OverloadedError(HeadraceError):
    """No room to run pipelines now; clients retry a 429."""

    status = 429
    type = "rejected_execution_exception"


class StageError(HeadraceError):
    """A stage ended a request that is not a bulk."""

    def __init__(self, status: int, type_: str, reason: str, pipeline: str, stage: str) -> None:
        super().__init__(reason)
        self.status = status
        self.type = type_
        self.pipeline = pipeline
        self.stage = stage

    def extra(self) -> dict[str, Any]:
        """The pipeline and the stage."""
        keys = {"pipeline": self.pipeline, "stage": self.stage}
        return {key: value for key, value in keys.items() if value}


class EngineError(HeadraceError):
    """The engine came to an end that it must not come to; its standard error says where."""

    type = "engine_exception"

    def __init__(self) -> None:
        super().__init__("the engine failed on this request: a defect, please report it")


class RegistryError(HeadraceError):
    """The registry cannot be read or written now."""

    status = 503
    type = "registry_unavailable_exception"


class UpstreamError(HeadraceError):
    """The cluster's answer cannot be used: it broke off, or it does not fit the request."""

    status = 502
    type = "upstream_exception"


class UnreachableError(UpstreamError):
    """The cluster does not accept connections."""

    status = 503
    type = "upstream_unavailable_exception"


class UpstreamTimeoutError(UpstreamError):
    """The cluster did not answer in time."""

    status = 504
    type = "upstream_timeout_exception"
