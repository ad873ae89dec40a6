"""Whether an outcome is what a case expects, and in which places it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jsonpatch
import msgspec
from jsonpointer import JsonPointerException

from headrace.project.nodes import split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.project.cases.model import Case, Outcome, Output

MOST_DIFFERENCES = 20
"""Maximum number of differences that one case reports: more of them have one reason."""
ERROR, DROPPED = "_error", "_dropped"
"""In a list of expected outputs: what stands for a document that failed, and for one that was dropped."""
_MISSING = object()


class Difference(NamedTuple):
    """A place where an outcome is not as expected; the values as JSON, or words."""

    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        """`path: expected …, found …`."""
        where = f"{self.path}: " if self.path else ""
        return f"{where}expected {self.expected}, found {self.found}"


def differences(case: Case, outcomes: Sequence[Outcome]) -> list[Difference]:
    """The differences of the outcomes, one for each input, from what the case expects; none: it passes."""
    expected = case.expected
    found: list[Difference] = []
    if not expected:
        return [Difference("", "something", "no expect, expect_patch, expect_error, dropped or moved_to")]
    if "expect_error" in expected:
        return _errors(expected["expect_error"], outcomes)
    failed = next((each.error for each in outcomes if each.error is not None), None)
    if failed is not None and not _awaits_errors(expected.get("expect")):
        where = f" in stage [{failed.stage}]" if failed.stage else ""
        return [Difference("", "no error", f"{failed.reason}{where}")]
    if "dropped" in expected and not all(each.dropped for each in outcomes):
        found.append(Difference("", "that every document is dropped", text(rendered(case, outcomes))))
    if "moved_to" in expected:
        indexes = {output.index for each in outcomes for output in each.outputs} or {None}
        found += [
            Difference("_index", text(expected["moved_to"]), text(index))
            for index in sorted(indexes, key=str)
            if index != expected["moved_to"]
        ]
    if "expect" in expected:
        found += _compared(expected["expect"], case, outcomes)
    if "expect_patch" in expected:
        found += _patched(case, outcomes)
    return found[:MOST_DIFFERENCES]


def rendered(case: Case, outcomes: Sequence[Outcome]) -> Any:
    """The outcomes in the form of `expect`: a list, or one value where the input is one that stayed one."""
    shown: list[Any] = []
    wanted = case.expected.get("expect")
    for given, outcome in zip(case.inputs, outcomes, strict=True):
        if outcome.error is not None:
            shown.append({ERROR: _part_of(outcome.error.reason, wanted, len(shown))})
        elif outcome.dropped:
            shown.append({DROPPED: True})
        else:
            shown += [_document(output, given, wanted, len(shown) + i) for i, output in enumerate(outcome.outputs)]
    if not (case.single or case.kind != "docs") or len(shown) != 1:
        return shown
    return shown[0]


def _part_of(reason: str, wanted: Any, at: int) -> str:
    """The reason of an error, or the part of it that is expected."""
    each = wanted[at] if isinstance(wanted, list) and at < len(wanted) else wanted
    part = each.get(ERROR) if isinstance(each, dict) else None
    return part if isinstance(part, str) and part in reason else reason


def _document(output: Output, given: Output, wanted: Any, at: int) -> Any:
    """A document: its source, with metadata where the input, or what is expected, has them."""
    if isinstance(wanted, list):
        wanted = wanted[at] if at < len(wanted) else None
    asked = isinstance(wanted, dict) and "_source" in wanted
    if not asked and (wanted is not None or not given.metadata()):
        return output.source
    names = [name for name in output.metadata() if not asked or name in wanted]
    metadata = output.metadata()
    return {**{name: metadata[name] for name in names}, "_source": output.source}


def _awaits_errors(expected: Any) -> bool:
    listed = expected if isinstance(expected, list) else [expected]
    return any(isinstance(each, dict) and set(each) == {ERROR} for each in listed)


def _errors(wanted: Any, outcomes: Sequence[Outcome]) -> list[Difference]:
    errors = [each.error for each in outcomes if each.error is not None]
    if not errors:
        return [Difference("", f"an error with {text(wanted)}", "no error")]
    fields = {"reason": wanted} if isinstance(wanted, str) else wanted
    for error in errors:
        shown = msgspec.to_builtins(error)
        if all(_error_field(name, value, shown) for name, value in fields.items()):
            return []
    return [Difference("", text(wanted), text(msgspec.to_builtins(errors[0])))]


def _error_field(name: str, wanted: Any, shown: dict[str, Any]) -> bool:
    return str(wanted) in str(shown.get(name, "")) if name == "reason" else shown.get(name) == wanted


def _compared(expected: Any, case: Case, outcomes: Sequence[Outcome]) -> list[Difference]:
    found = rendered(case, outcomes)
    ignored = Ignored(case.ignore)
    if not isinstance(expected, list) and not isinstance(found, list):
        return list(value_differences(expected, found, "", ignored))
    lists = [each if isinstance(each, list) else [each] for each in (expected, found)]
    different: list[Difference] = []
    for i in range(max(map(len, lists))):
        wanted, output = (each[i] if i < len(each) else _MISSING for each in lists)
        different += value_differences(wanted, output, f"[{i}]", ignored)
    return different


def _patched(case: Case, outcomes: Sequence[Outcome]) -> list[Difference]:
    """Applies the patch to the input; with several documents there is a list of patches, one for each."""
    patches = case.expected["expect_patch"]
    if len(case.inputs) == 1:
        patches = [patches]
    if len(patches) != len(case.inputs):
        return [Difference("expect_patch", f"a patch for each of {len(case.inputs)} documents", str(len(patches)))]
    found: list[Difference] = []
    for n, (given, patch, outcome) in enumerate(zip(case.inputs, patches, outcomes, strict=True)):
        where = f"[{n}]" if len(case.inputs) > 1 else ""
        try:
            wanted = jsonpatch.apply_patch(given.source, patch)
        except (jsonpatch.JsonPatchException, JsonPointerException, TypeError, KeyError) as error:
            found.append(Difference(f"expect_patch{where}", "a JSON Patch (RFC 6902)", str(error)))
            continue
        if len(outcome.outputs) != 1:
            found.append(Difference(where, "one document", f"{len(outcome.outputs)}"))
            continue
        found += value_differences(wanted, outcome.outputs[0].source, where, Ignored(case.ignore))
    return found


def patches_of(case: Case, outcomes: Sequence[Outcome]) -> Any:
    """The JSON Patch from input to output, or one for each of several documents; `None` where none can say it."""
    if any(len(outcome.outputs) != 1 for outcome in outcomes):
        return None
    found = [
        jsonpatch.make_patch(given.source, outcome.outputs[0].source).patch
        for given, outcome in zip(case.inputs, outcomes, strict=True)
    ]
    return found[0] if len(found) == 1 else found


class Ignored:
    """Paths of a document that a comparison leaves out: `hits.hits[*]._score`, or the pointer `/hits/hits/*/_score`."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = [_parts(path) for path in paths]

    def __contains__(self, parts: tuple[str, ...]) -> bool:
        if parts[:1] == ("_source",) and parts[1:] in self:
            return True
        return any(
            len(path) == len(parts) and all(word in ("*", part) for word, part in zip(path, parts, strict=True))
            for path in self.paths
        )


def _parts(path: str) -> tuple[str, ...]:
    if path.startswith("/"):
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/"))
    return tuple(str(part) for part in split(path.replace("[*]", ".*")))


def value_differences(
    expected: Any, found: Any, path: str, ignored: Ignored, parts: tuple[str, ...] = ()
) -> Iterator[Difference]:
    """The places where two JSON values differ. `1` and `1.0` are one number; `true` is none."""
    if parts in ignored:
        return
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in dict.fromkeys((*expected, *found)):
            where = f"{path}.{key}" if path else key
            values = (expected.get(key, _MISSING), found.get(key, _MISSING))
            yield from value_differences(values[0], values[1], where, ignored, (*parts, key))
    elif isinstance(expected, list) and isinstance(found, list):
        for i in range(max(len(expected), len(found))):
            items: list[Any] = [each[i] if i < len(each) else _MISSING for each in (expected, found)]
            yield from value_differences(items[0], items[1], f"{path}[{i}]", ignored, (*parts, str(i)))
    elif not same(expected, found):
        yield Difference(path, text(expected), text(found))


def same(left: Any, right: Any) -> bool:
    """Whether two values without members are the same in JSON."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def text(value: Any) -> str:
    """A value as JSON, cut where it is long."""
    if value is _MISSING:
        return "nothing"
    shown = msgspec.json.encode(value).decode()
    return shown if len(shown) <= 500 else f"{shown[:500]}… ({len(shown)} characters)"
