"""Samples of trial runs: as people paste them, from an index, and as test cases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.ui.differences import parse, value_text

if TYPE_CHECKING:
    from headrace.ui.inner import Api

MOST_SAMPLES = 20
"""Number of samples of one run: each is run stage by stage, and all of it is shown."""
MOST_CHARACTERS = 1 << 20
"""Characters of all samples."""


class SampleError(Exception):
    """Why there are no samples."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Sample:
    """A sample: the text that the API takes, and its value. `document`: it has metadata beside its `_source`."""

    text: bytes
    value: dict[str, Any]
    document: bool

    @property
    def input(self) -> Any:
        """What the stages get."""
        return self.value["_source"] if self.document else self.value


def read_samples(text: str, kind: str) -> list[Sample]:
    """Samples in a JSON array, or one after the other. Raises SampleError.

    For a document pipeline each is a document, or an object with `_source` and metadata; for others a body.
    """
    if len(text) > MOST_CHARACTERS:
        raise SampleError(f"the samples have more than {MOST_CHARACTERS} characters")
    found = _texts(text)
    if len(found) == 1 and found[0].startswith("["):
        found = [bytes(each).decode() for each in msgspec.json.decode(found[0], type=list[msgspec.Raw])]
    if not found:
        raise SampleError("there are no samples: paste some, or get some of an index")
    if len(found) > MOST_SAMPLES:
        raise SampleError(f"there are {len(found)} samples; the page runs {MOST_SAMPLES} at once")
    return [_sample(i + 1, each, kind) for i, each in enumerate(found)]


def _texts(text: str) -> list[str]:
    """The values of a text, each as it is written. Raises SampleError."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text):
        if text[at].isspace() or text[at] == ",":
            at += 1
            continue
        try:
            _, end = decoder.raw_decode(text, at)
            msgspec.json.decode(text[at:end].encode())
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, at) + 1
            raise SampleError(f"the samples are not JSON: the one that begins in line {line}: {error}") from None
        found.append(text[at:end])
        at = end
    return found


_METADATA = ("_index", "_id", "_routing", "_source")


def _sample(number: int, text: str, kind: str) -> Sample:
    value = parse(text)
    if not isinstance(value, dict):
        raise SampleError(f"sample {number} is not an object")
    if kind != "document":
        return Sample(text.encode(), value, document=False)
    if not isinstance(value.get("_source"), dict):
        return Sample(b'{"_source":' + text.encode() + b"}", {"_source": value}, document=True)
    members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    kept = {name: members[name] for name in _METADATA if name in members}
    return Sample(msgspec.json.encode(kept), {name: value[name] for name in kept}, document=True)


def written(samples: list[Any]) -> str:
    """Samples as a text for people."""
    return value_text(samples) if samples else ""


TAP_SECONDS = 5
"""Seconds for which the page waits for traffic."""


async def from_tap(api: Api, pipeline: dict[str, Any], count: int) -> list[Any]:
    """Inputs of a pipeline as they come, for a few seconds. Raises SampleError, ApiError."""
    wanted = {
        "pipeline": pipeline["name"],
        "surface": pipeline["type"],
        "limit": min(max(count, 1), MOST_SAMPLES),
        "per_second": 100,
        "duration": f"{TAP_SECONDS}s",
        "stages": "none",
    }
    reply = await api.call("POST", ("_proxy", "tap"), msgspec.json.encode(wanted), {})
    try:
        records = [parse(line) for line in reply.body.splitlines() if line.strip()]
    except ValueError:
        raise SampleError("the tap gave what is not JSON") from None
    inputs = [_tapped(each, pipeline["type"]) for each in records if each.get("before") is not None]
    if not inputs:
        counted = records[-1] if records else {}
        hidden = f", and {counted['refused']} that you may not read" if counted.get("refused") else ""
        raise SampleError(f"no input came in {TAP_SECONDS} seconds{hidden}: send a request, or paste a sample")
    return inputs


def _tapped(record: dict[str, Any], kind: str) -> Any:
    """The input in a record of a tap; a document with its metadata."""
    if kind != "document":
        return record["before"]
    named = {"_index": record.get("index"), "_id": record.get("id")}
    return {**{name: value for name, value in named.items() if value}, "_source": record["before"]}


async def from_index(api: Api, kind: str, index: str, count: int) -> list[Any]:
    """Documents of an index as its callers see them, or the response to a search. Raises SampleError, ApiError."""
    if not index:
        raise SampleError("enter the name of an index")
    answer = await api.post(index, "_search", body={"size": min(max(count, 1), MOST_SAMPLES)})
    if kind == "query":
        return [{"query": {"match_all": {}}}]
    if kind == "result":
        return [answer]
    hits = answer.get("hits", {}).get("hits", [])
    return [{"_index": hit["_index"], "_id": hit["_id"], "_source": hit["_source"]} for hit in hits if "_source" in hit]
