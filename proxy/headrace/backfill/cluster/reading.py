"""The documents of an item, in pages of bounded bytes.

A page is a search by a range of `_seq_no` on one shard, so no cursor lives on the server, and an item can begin again
anywhere. A slice is read by a scroll, where `_seq_no` cannot be searched.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from headrace.backfill.cluster.link import BUSY
from headrace.backfill.spec import BackfillError
from headrace.client.errors import UnreachableError
from headrace.client.exchange import MAX_ANSWER, TooLongError, decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.backfill.cluster.link import Link
    from headrace.backfill.spec import JobSpec, WorkItem
    from headrace.client.exchange import Response

MAX_DOCUMENTS = 5000
"""Documents of a page at most: half of the largest window that an index allows by default."""
FIRST_DOCUMENTS = 200
"""Documents of the first page of an item, whose length nobody knows yet."""
SURPLUS = 4
"""How many times the bytes of a page an answer may have; a longer one is asked for again, with fewer documents."""
KEEP_ALIVE = "10m"
"""The time that a scroll lives between two pages."""

GONE = 404
"""The status of a scroll whose context a node has lost, for example as it began again."""


class LostPageError(BackfillError):
    """A page of a scroll is lost: its slice has to be read from its beginning."""


class LongPageError(LostPageError):
    """A page of a scroll has too many bytes: its slice has to be read in pages of `shorter` documents."""

    def __init__(self, reason: str, field: str = "", *, shorter: int = 1) -> None:
        super().__init__(reason, field)
        self.shorter = shorter


class Hit(msgspec.Struct, gc=False):
    """A document: JSON texts of its id, its routing (empty: none) and its source; `found` in an answer by id."""

    id: msgspec.Raw = msgspec.field(name="_id", default=msgspec.Raw(b'""'))
    source: msgspec.Raw = msgspec.field(name="_source", default=msgspec.Raw(b""))
    seq_no: int = msgspec.field(name="_seq_no", default=-1)
    primary_term: int = msgspec.field(name="_primary_term", default=0)
    version: int = msgspec.field(name="_version", default=0)
    routing: msgspec.Raw = msgspec.field(name="_routing", default=msgspec.Raw(b""))
    index: str = msgspec.field(name="_index", default="")
    found: bool = True

    @property
    def external(self) -> int:
        """Its version in another index: more than that of every older state of it; 0 for one of a file.

        The same for each way of reading, so that a later job with the same target has newer versions. Its `_version`
        begins again when it comes back after a deletion, and is for sources alone that show no `_seq_no`.
        """
        return self.seq_no + 1 if self.seq_no >= 0 else self.version

    @property
    def name(self) -> str:
        """The id."""
        return msgspec.json.decode(self.id, type=str)

    @property
    def copy(self) -> tuple[str, str]:
        """The id and the routing (empty: none): shards may have documents of one id with different routings."""
        return self.name, msgspec.json.decode(self.routing, type=str) if self.routing else ""

    @property
    def text(self) -> bytes:
        """The source as JSON on one line."""
        return bytes(self.source)


class _Hits(msgspec.Struct):
    hits: list[Hit]


class _Shards(msgspec.Struct):
    failed: int = 0


class _Found(msgspec.Struct):
    hits: _Hits
    shards: _Shards = msgspec.field(name="_shards", default_factory=_Shards)
    timed_out: bool = False
    scroll: str = msgspec.field(name="_scroll_id", default="")


class _Failed(msgspec.Struct):
    type: str = ""
    reason: str | None = None


class _GotHit(Hit, gc=False):
    error: _Failed | None = None


class _Got(msgspec.Struct):
    docs: list[_GotHit]


_FOUND = msgspec.json.Decoder(_Found)
_GOT = msgspec.json.Decoder(_Got)


class Page(msgspec.Struct):
    """Documents with the bytes of the answer that had them. `broken`: what is no document, with the reason."""

    hits: list[Hit]
    bytes: int
    broken: list[tuple[Hit, str]] = []


class _Window:
    """How many documents a page asks for, by the bytes of the pages before it."""

    def __init__(self, page_bytes: int, first: int) -> None:
        self.size = first
        self._bytes = page_bytes

    @property
    def limit(self) -> int:
        """Bytes of an answer. A single document has as many as the cluster takes."""
        return SURPLUS * self._bytes if self.size > 1 else MAX_ANSWER * SURPLUS

    def adapt(self, page: Page) -> None:
        """Learns from a page; more than four times as many documents are never asked for at once."""
        if page.hits:
            fitting = self._bytes * len(page.hits) // max(1, page.bytes)
            self.size = max(1, min(fitting, self.size * 4, MAX_DOCUMENTS))

    def shrink(self) -> None:
        """A page was too long."""
        self.size = max(1, self.size // 8)


def pages(
    link: Link, job: JobSpec, item: WorkItem, *, first: int = FIRST_DOCUMENTS, once: bool = False
) -> Iterator[Page]:
    """The documents of an item. `first`: how many the first page asks for.

    `once`: nobody can begin a slice again, so its later pages may have more bytes.
    Raises ClientError, UnreachableError, LostPageError, and BackfillError for what is no document.
    """
    window = _Window(job.page_bytes, first)
    found = _slice(link, job, item, window, once=once) if item.slices else _range(link, job, item, window)
    for page in found:
        window.adapt(page)
        if not item.compare and any(not hit.source for hit in page.hits):
            raise BackfillError(f"documents of [{item.index}] have no _source: they cannot go through a pipeline")
        yield page


def _range(link: Link, job: JobSpec, item: WorkItem, window: _Window) -> Iterator[Page]:
    low = item.low
    params = {
        "preference": f"_shards:{item.shard}" + ("|_primary" if item.primary else ""),
        "allow_partial_search_results": "false",
    }
    path = f"/{quote(item.index, safe='')}/_search"
    while low < item.high:
        asked = window.size
        query = [] if item.compare else _filters(job)
        body = {
            "size": asked,
            "query": {"bool": {"filter": [{"range": {"_seq_no": {"gte": low, "lt": item.high}}}, *query]}},
            "_source": not item.compare,
            "sort": [{"_seq_no": "asc"}],
            "seq_no_primary_term": True,
            "track_total_hits": False,
        }
        try:
            page, _ = _searched(link, path, params, body, window.limit)
        except TooLongError:
            _shrink(window, item)
            continue
        if page.hits:
            low = page.hits[-1].seq_no + 1
            yield page
        if len(page.hits) < asked:
            return


def _shrink(window: _Window, item: WorkItem) -> None:
    """Has the next page ask for fewer documents. Raises BackfillError where it asked for one."""
    if window.size == 1:
        raise BackfillError(f"a document of [{item.index}] is longer than a job reads")
    window.shrink()


def _slice(link: Link, job: JobSpec, item: WorkItem, window: _Window, *, once: bool) -> Iterator[Page]:
    """The documents of a slice. The length of its pages is that of the first one: a scroll has one size.

    Raises LostPageError where the answer of a later page is lost: the cluster may have gone on to the next one, and
    BackfillError for a document that is longer than a job reads.
    """
    while True:
        try:
            page, scroll = _first_of(link, job, item, window)
            break
        except TooLongError:
            _shrink(window, item)
    # Each page asks for as many documents as the first one, whatever the window has learned.
    size = window.size
    limit = MAX_ANSWER * SURPLUS if once else window.limit
    try:
        while page.hits:
            yield page
            page, scroll = _scrolled(link, {"scroll": KEEP_ALIVE, "scroll_id": scroll}, limit)
    except TooLongError:
        window.size = size
        _shrink(window, item)
        raise LongPageError(
            "a page of a scroll is too long: its slice has to be read again", shorter=window.size
        ) from None
    finally:
        # It ends by itself where the cluster is away.
        with suppress(UnreachableError):
            link.once("DELETE", "/_search/scroll", msgspec.json.encode({"scroll_id": scroll}))


def _first_of(link: Link, job: JobSpec, item: WorkItem, window: _Window) -> tuple[Page, str]:
    """The first page of a scroll. Raises TooLongError; such a scroll ends by itself."""
    body: dict[str, Any] = {
        "size": window.size,
        "query": {"bool": {"filter": _filters(job)}},
        "sort": ["_doc"],
        "version": True,
        "seq_no_primary_term": True,
    }
    if item.slices > 1:
        body["slice"] = {"id": item.shard, "max": item.slices}
    params = {"scroll": KEEP_ALIVE, "allow_partial_search_results": "false"}
    return _searched(link, f"/{quote(item.index, safe='')}/_search", params, body, window.limit)


def _filters(job: JobSpec) -> list[Any]:
    return [msgspec.json.decode(job.query)] if job.query else []


def _searched(link: Link, path: str, params: dict[str, str], body: Any, limit: int) -> tuple[Page, str]:
    """A page and the id of its scroll. Raises BackfillError for an answer that lacks a shard."""
    return _page(link.call("POST", path, params, msgspec.json.encode(body), limit=limit))


def _scrolled(link: Link, body: Any, limit: int) -> tuple[Page, str]:
    """The next page of a scroll. The call is not repeated: a repeated one would skip the page that was lost.

    Raises LostPageError and TooLongError.
    """
    try:
        answer = link.once("POST", "/_search/scroll", msgspec.json.encode(body), limit=limit)
    except UnreachableError as error:
        raise LostPageError(f"a page of a scroll is lost: its slice has to be read again: {error}") from None
    if answer.status in (*BUSY, GONE):
        raise LostPageError(f"a page of a scroll is lost: its slice has to be read again: status {answer.status}")
    return _page(answer)


def _page(answer: Response) -> tuple[Page, str]:
    if answer.status != 200:
        decoded(answer)
    found = _FOUND.decode(answer.body)
    if found.shards.failed or found.timed_out:
        raise BackfillError("a shard has not answered: the search is not whole")
    return Page(_joined_lines(found.hits.hits, answer.body), len(answer.body)), found.scroll


def _joined_lines(hits: list[Hit], body: bytes) -> list[Hit]:
    """The documents as a bulk can have them: a stored text may have line ends between its members."""
    if b"\n" in body or b"\r" in body:
        for hit in hits:
            hit.source = msgspec.Raw(msgspec.json.format(hit.source, indent=-1))
    return hits


def again(link: Link, hits: Sequence[Hit], index: str) -> list[Hit]:
    """The documents as they are now, in the same order; `found` is false for those that are gone.

    Raises ClientError, UnreachableError, and BackfillError for a document that the cluster cannot read.
    """
    asked = [
        {"_id": msgspec.Raw(hit.id)} | ({"routing": msgspec.Raw(hit.routing)} if hit.routing else {}) for hit in hits
    ]
    body = msgspec.json.encode({"docs": asked})
    answer = link.call("POST", f"/{quote(index, safe='')}/_mget", None, body, limit=MAX_ANSWER * SURPLUS)
    if answer.status != 200:
        decoded(answer)
    docs = _GOT.decode(answer.body).docs
    for doc in docs:
        if doc.error is not None:
            raise BackfillError(f"a document of [{index}] cannot be read: {doc.error.type}: {doc.error.reason}")
    return _joined_lines([*docs], answer.body)


def present(link: Link, job: JobSpec, hits: Sequence[Hit]) -> set[tuple[str, str]]:
    """The documents among `hits` that the source of a job has, by id and routing (see [`Hit.copy`])."""
    return _copies(link, job, sorted({hit.name for hit in hits}))


def _copies(link: Link, job: JobSpec, ids: list[str]) -> set[tuple[str, str]]:
    body = {
        "size": MAX_DOCUMENTS,
        "query": {"bool": {"filter": [{"ids": {"values": ids}}, *_filters(job)]}},
        "_source": False,
        "track_total_hits": False,
    }
    params = {"allow_partial_search_results": "false"}
    if job.preference:
        params["preference"] = job.preference
    page, _ = _searched(link, f"/{quote(job.source, safe='*,-_.')}/_search", params, body, MAX_ANSWER)
    if len(page.hits) == MAX_DOCUMENTS and len(ids) > 1:
        # Documents of several shards or indexes with one id have filled the answer.
        half = len(ids) // 2
        return _copies(link, job, ids[:half]) | _copies(link, job, ids[half:])
    return {hit.copy for hit in page.hits}
