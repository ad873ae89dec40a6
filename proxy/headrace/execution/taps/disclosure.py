"""What a tap shows of texts in whose indexes masks hide fields: an allow-list.

A pipeline may put a hidden value anywhere, in any form: nothing is searched for, only what is known to hold none is
shown. Of a document these are the members that came and are not hidden; of what a pipeline made of it, values that
stand at the same place in the document that came, and constants that the pipeline's definition has for that field. Of
a search it is the structure, with options out of a closed list. `match` is evaluated over the same texts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from headrace.execution.taps import patches
from headrace.execution.taps.hiding import HIDDEN, Concealer
from headrace_pipelines import PipelineType
from headrace_pipelines.engine import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.execution.protection import HiddenFields
    from headrace.execution.taps.samples import Sample
    from headrace_pipelines.definition import PipelineDefinition

_WORD = re.compile(r"[^\W\d][\w-]*")
_REFERENCE = "${secret:"
_HIT = ("_index", "_id")
_FREE = frozenset({"params", "meta", "ext", "doc", "document", "documents"})
"""Members of a search whose contents, names included, are the caller's own data."""


# Options of searches, which hold no value of a document.
_NUMBERS = frozenset(
    {
        *("size", "from", "track_total_hits", "terminate_after", "boost", "slop", "max_expansions", "prefix_length"),
        *("tie_breaker", "minimum_should_match", "window_size", "query_weight", "rescore_query_weight"),
        *("shard_size", "min_doc_count", "number_of_fragments", "fragment_size", "precision_threshold"),
    }
)
_FLAGS = frozenset(
    {
        *("track_total_hits", "track_scores", "explain", "version", "seq_no_primary_term", "profile", "lenient"),
        *("analyze_wildcard", "case_insensitive", "ignore_unmapped", "adjust_pure_negative", "fuzzy_transpositions"),
        *("auto_generate_synonyms_phrase_query", "allow_leading_wildcard", "keyed"),
    }
)
_WORDS = {
    "order": {"asc", "desc"},
    "mode": {"min", "max", "sum", "avg", "median"},
    "missing": {"_first", "_last"},
    "operator": {"and", "or", "AND", "OR"},
    "default_operator": {"and", "or", "AND", "OR"},
    "type": {"best_fields", "most_fields", "cross_fields", "phrase", "phrase_prefix", "bool_prefix"},
    "score_mode": {"none", "avg", "sum", "min", "max", "multiply", "first", "total"},
    "boost_mode": {"multiply", "replace", "sum", "avg", "max", "min"},
    "zero_terms_query": {"none", "all"},
    "fuzziness": {"AUTO"},
}
_DURATIONS = frozenset({"timeout", "keep_alive"})
_NUMBER = re.compile(rb"-?\d{1,9}(\.\d{1,3})?")
_DURATION = re.compile(rb'"-?\d{1,9}(nanos|micros|ms|s|m|h|d)"')
CLAUSES = frozenset({"query", "bool", "filter", "must", "should", "must_not", "size", "from", "sort", "_source"})
"""Names that pipelines put around a query."""


class Constants:
    """The constants of a pipeline's definition: its words, and the values of each stage beside its fields."""

    def __init__(self, definition: PipelineDefinition) -> None:
        self.words: set[str] = set()
        self.values: set[str] = set()
        self.objects: set[bytes] = set()
        """The objects in parameters, as compact texts."""
        self._stages: list[tuple[set[str], set[str]]] = []
        self._read(msgspec.json.encode(definition))

    def _read(self, text: bytes) -> None:
        if text[:1] == b"{":
            for name, value in patches.members(text).items():
                self._read(value)
                if name == "config":
                    self._read_config(value)
        elif text[:1] == b"[":
            for value in patches.elements(text):
                self._read(value)

    def _read_config(self, text: bytes) -> None:
        fields: set[str] = set()
        values: set[str] = set()
        for name, value in _parts(text):
            if name is not None:
                fields.add(name)
            elif value[:1] != b'"':
                values.add(value.decode())
            elif _REFERENCE not in (each := _leaf(value)):
                fields.add(each)
                values.add(_token(value))
        for each in fields:
            self.words.update(_WORD.findall(each))
        self.words |= fields
        self.values |= values
        self._stages.append((fields, values))
        self.objects.update(_objects(text))

    def has(self, path: str, value: bytes) -> bool:
        """Whether a stage has this value beside the name of this field, or of an object that it is in."""
        token = _token(value)
        above = path.split(".")
        paths = {".".join(above[: at + 1]) for at in range(len(above))}
        return any(token in values and not paths.isdisjoint(fields) for fields, values in self._stages)


class Disclosure:
    """The texts of one sample as they may be shown; `names` of the concealer are the fields that were left out.

    Raises msgspec.DecodeError, UnicodeDecodeError, ValueError or RecursionError for a text that not every reader takes
    for the same.
    """

    def __init__(self, sample: Sample, concealer: Concealer) -> None:
        self._concealer = concealer
        self._query = sample.kind is PipelineType.QUERY
        self._constants = Constants(sample.pipeline.definition)
        came = sample.came if sample.derived else sample.text
        text = canonical_json(came) if came else b"{}"
        concealer.learn(text)
        self._came = self._search(text, "") if self._query else concealer.without(text)
        self._own = set(_objects(text)) if self._query else set()
        self._words = self._constants.words.union(name for name, _ in _parts(self._came) if name is not None)
        if self._query:
            self._words |= CLAUSES
        self.before = self.later(sample.text or b"{}") if sample.derived else self._came

    def later(self, text: bytes) -> bytes:
        """What a pipeline, or a stage, has made of the input."""
        return self._later(text, self._came, "", "")

    def _is_hidden(self, path: str) -> bool:
        hidden = self._concealer.is_hidden(path)
        if hidden:
            self._concealer.names.add(path)
        return hidden

    def _search(self, text: bytes, name: str) -> bytes:
        """A search as it came: its structure, and options."""
        if text[:1] == b"{":
            if name in _FREE:
                return b"{}"
            members = patches.members(text)
            return _object({each: self._search(value, each) for each, value in members.items() if self._names(each)})
        if text[:1] == b"[":
            return _list(self._search(each, name) for each in patches.elements(text))
        return text if is_option(name, text) else HIDDEN

    def _names(self, name: str) -> bool:
        return not self._is_hidden(name)

    def _later(self, text: bytes, came: bytes | None, path: str, name: str) -> bytes:
        if text[:1] == b"{":
            if self._query and self._is_added(text):
                return text
            old = patches.members(came) if came is not None and came[:1] == b"{" else {}
            shown = {}
            for each, value in patches.members(text).items():
                below = each if self._query or not path else f"{path}.{each}"
                if each in self._words and not self._is_hidden(below):
                    shown[each] = self._later(value, old.get(each), below, each)
            return _object(shown)
        if text[:1] == b"[":
            return self._later_list(text, came, path, name)
        if self._query:
            kept = is_option(name, text) and (_same(text, came) or _token(text) in self._constants.values)
        else:
            kept = _same(text, came) or self._constants.has(path, text)
        return text if kept else HIDDEN

    def _is_added(self, text: bytes) -> bool:
        """Whether a clause stands as it is in the definition and not in the search: the pipeline has added it."""
        clause = _compact(text)
        if clause == b"{}" or clause not in self._constants.objects or clause in self._own:
            return False
        return not any(self._is_hidden(name) for name, _ in _parts(text) if name is not None)

    def _later_list(self, text: bytes, came: bytes | None, path: str, name: str) -> bytes:
        """A list; of further elements that look the same there is one: their number might be a hidden value."""
        old = patches.elements(came) if came is not None and came[:1] == b"[" else []
        shown: list[bytes] = []
        for at, value in enumerate(patches.elements(text)):
            each = self._later(value, old[at] if at < len(old) else None, path, name)
            if at < len(old) or each not in shown:
                shown.append(each)
        return _list(shown)


def without_cursor(text: bytes) -> bytes:
    """A search without the cluster's own id of its point in time, which clients only get sealed."""
    if b'"pit"' not in text or text[:1] != b"{":
        return text
    members = patches.members(text)
    if members.get("pit", b"")[:1] != b"{":
        return text
    return _object(members | {"pit": _object({**patches.members(members["pit"]), "id": HIDDEN})})


def response_of(sample: Sample, hidden: HiddenFields) -> bytes:
    """What `match` sees of a response: its hits, without hidden fields, and nothing that is made of them."""
    text = canonical_json((sample.came if sample.derived else sample.text) or b"{}")
    response = patches.members(text)
    hits = patches.members(response["hits"]) if response.get("hits", b"")[:1] == b"{" else {}
    listed = patches.elements(hits["hits"]) if hits.get("hits", b"")[:1] == b"[" else []
    shown = {"hits": _list(_hit(each, hidden) for each in listed if each[:1] == b"{")}
    if "total" in hits:
        shown["total"] = hits["total"]
    about = {name: response[name] for name in ("took", "timed_out") if name in response}
    return _object(about | {"hits": _object(shown)})


def _hit(text: bytes, hidden: HiddenFields) -> bytes:
    members, concealer = patches.members(text), Concealer(hidden)
    source = members.get("_source", b"{}")
    concealer.learn(source)
    shown = {name: members[name] for name in _HIT if name in members and concealer.shows(_leaf(members[name]))}
    return _object(shown | {"_source": concealer.without(source)})


def _parts(text: bytes) -> Iterator[tuple[str | None, bytes]]:
    """The names of all members, and the texts of all scalars, of a JSON text."""
    if text[:1] == b"{":
        for name, value in patches.members(text).items():
            yield name, b""
            yield from _parts(value)
    elif text[:1] == b"[":
        for value in patches.elements(text):
            yield from _parts(value)
    else:
        yield None, text


def _objects(text: bytes) -> Iterator[bytes]:
    """All objects in a JSON text, as compact texts."""
    if text[:1] == b"{":
        yield _compact(text)
        for value in patches.members(text).values():
            yield from _objects(value)
    elif text[:1] == b"[":
        for value in patches.elements(text):
            yield from _objects(value)


def _compact(text: bytes) -> bytes:
    return msgspec.json.format(text, indent=-1)


def _same(text: bytes, came: bytes | None) -> bool:
    return came is not None and came[:1] not in (b"{", b"[") and came != HIDDEN and _token(text) == _token(came)


def _token(text: bytes) -> str:
    """A scalar for comparisons: strings by their characters, others by their digits."""
    return f'"{_leaf(text)}' if text[:1] == b'"' else text.decode()


def _leaf(text: bytes) -> str:
    return str(msgspec.json.decode(text)) if text[:1] == b'"' else text.decode()


def _object(members: dict[str, bytes]) -> bytes:
    return msgspec.json.encode({name: msgspec.Raw(value) for name, value in members.items()})


def _list(values: Iterator[bytes] | list[bytes]) -> bytes:
    return b"[%b]" % b",".join(values)


def is_option(name: str, text: bytes) -> bool:
    """Whether the member `name`, whose value is the JSON text of a scalar, is such an option."""
    if text in (b"true", b"false"):
        return name in _FLAGS
    if text[:1] != b'"':
        return name in _NUMBERS and _NUMBER.fullmatch(text) is not None
    if name in _DURATIONS:
        return _DURATION.fullmatch(text) is not None
    return text[1:-1].decode() in _WORDS.get(name, ())
