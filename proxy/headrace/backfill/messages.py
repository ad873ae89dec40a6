"""Items done in processes of other engines: the result, or the error, as bytes that a driver reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.backfill.engine import described, raised
from headrace.backfill.kernel import run_item
from headrace.backfill.spec import ItemResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.backfill.spec import Counts, JobSpec, WorkItem


class _Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    result: ItemResult | None = None
    error: tuple[str, int, str, str] = ("", 0, "", "")


def attempt(job: JobSpec, item: WorkItem, told: Callable[[Counts], None] | None = None) -> bytes:
    """Does an item. An error is a message, too: an engine repeats the items of workers that end, not those that fail.

    A call that the cluster does not answer has been repeated for `patience` seconds when it is an error. `told`: is
    told the counts of an item that is done.
    """
    try:
        result = run_item(job, item)
        if told is not None:
            told(result.counts)
        return msgspec.json.encode(_Message(result=result))
    except Exception as error:  # noqa: BLE001 - the driver decides what an error means
        return msgspec.json.encode(_Message(error=described(error)))


def result_of(message: bytes) -> ItemResult:
    """The result of [`attempt`]. Raises its error: ClientError, UnreachableError or BackfillError."""
    decoded = msgspec.json.decode(message, type=_Message)
    if decoded.result is None:
        raise raised(*decoded.error)
    return decoded.result
