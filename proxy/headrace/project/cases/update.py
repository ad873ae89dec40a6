"""`--update`: writes what a run gave as what its case expects, and leaves the rest of the file as it is.

The text is edited at the positions of its values: only members that differ are replaced, so that comments and
formatting stay. Where that is not possible, the whole expectation is written anew.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.project.cases import compare, read
from headrace.project.cases.model import EXPECTATIONS
from headrace.project.nodes import Items, Members, Node, Scalar
from headrace.project.problems import ProjectError
from headrace.project.source import Source, dump

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.project.cases.model import Case, CaseFile
    from headrace.project.cases.run import Result

WIDTH = 100
"""Maximum of characters of a value that is written in one line."""


_COMMENT = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?=\r?$)", re.MULTILINE)
"""The rest of a line behind a value."""


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


class _WholeError(Exception):
    """A value cannot be edited in part."""


def update(file: CaseFile, results: Sequence[Result]) -> bool:
    """Writes the outcomes of cases of a file that differ; whether anything was written. Raises OSError."""
    changed = [result for result in results if result.case is not None and result.outcomes and result.differences]
    if file.path.is_dir():
        for result in changed:
            _write_folder(file, result)
        return bool(changed)
    if file.source is None or not changed:
        return False
    text = file.source.text
    # From the end, so that the positions before an edit stay.
    for result in sorted(changed, key=lambda result: (result.line, result.column), reverse=True):
        text = _updated(Source.parse(text, file.name), result)
    file.path.write_bytes(text.encode())
    return True


def _write_folder(file: CaseFile, result: Result) -> None:
    assert result.case is not None  # noqa: S101 - results without a case are left out
    shown = compare.rendered(result.case, result.outcomes)
    lines = [json.dumps(each, ensure_ascii=False) for each in shown]
    (file.path / read.OUT).write_text("".join(f"{line}\n" for line in lines))


def _updated(source: Source, result: Result) -> str:
    """The text of the file with the outcome of a case in it."""
    case = result.case
    assert case is not None  # noqa: S101 - results without a case are left out
    wanted = _expectations(case, result)
    try:
        text = _applied(source.text, list(_Editor(source).expectations(case, wanted)))
        if _written(text, source.name, case) == wanted:
            return text
    except (_WholeError, ProjectError):
        pass
    return _applied(source.text, list(_Editor(source).anew(case, wanted)))


def _written(text: str, name: str, case: Case) -> dict[str, Any]:
    """The expectations of a case in a text."""
    found: Any = Source.parse(text, name).value
    for part in case.path.removesuffix("]").split("["):
        found = found[int(part) if part.isdigit() else part]
    return {key: value for key, value in found.items() if key in EXPECTATIONS}


def _expectations(case: Case, result: Result) -> dict[str, Any]:
    """What the case is to expect, in the form that it has now as far as it can."""
    outcomes = result.outcomes
    errors = [each.error for each in outcomes if each.error is not None]
    if errors and len(outcomes) == 1:
        return {"expect_error": errors[0].reason}
    if all(each.dropped for each in outcomes):
        return {"dropped": True}
    found: dict[str, Any] = {}
    index = next((o.index for each in outcomes for o in each.outputs), None)
    if "moved_to" in case.expected and index is not None:
        found["moved_to"] = index
    patches = compare.patches_of(case, outcomes) if "expect_patch" in case.expected and not errors else None
    if patches is not None:
        found["expect_patch"] = patches
    elif "expect" in case.expected or not found:
        found["expect"] = compare.rendered(case, outcomes)
    return found


def _applied(text: str, edits: list[_Edit]) -> str:
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


class _Editor:
    """Makes edits of a file. Raises _WholeError."""

    def __init__(self, source: Source) -> None:
        self.text = source.text
        self.source = source
        self.is_json = source.name.endswith(".json")

    def expectations(self, case: Case, wanted: dict[str, Any]) -> Iterator[_Edit]:
        """The smallest edits by which a case expects something else."""
        node = self.case_node(case)
        pairs = {key.text: (key, value) for key, value in node.pairs if isinstance(key, Scalar)}
        if {key for key in pairs if key in EXPECTATIONS} != set(wanted):
            raise _WholeError
        for key, value in wanted.items():
            yield from self.changed(pairs[key][1], case.expected[key], value)

    def anew(self, case: Case, wanted: dict[str, Any]) -> Iterator[_Edit]:
        """Writes all expectations in place of the first that is there, or behind the last member.

        Each of the others goes by itself: members between them stay.
        """
        node = self.case_node(case)
        column = node.pairs[0][0].at.column - 1
        between = ", " if node.flow else "\n" + " " * column
        text = between.join(self.member(key, value, node, column) for key, value in wanted.items())
        there = [i for i, (key, _) in enumerate(node.pairs) if isinstance(key, Scalar) and key.text in EXPECTATIONS]
        if not there:
            end = self.behind(node.pairs[-1][1], node)
            yield _Edit(end, end, between + text)
            return
        yield _Edit(node.pairs[there[0]][0].start, node.pairs[there[0]][1].end, text)
        for i in there[1:]:
            # In flow style from the end of the member before it: its comma goes, too.
            key, value = node.pairs[i]
            if node.flow:
                yield _Edit(node.pairs[i - 1][1].end, value.end, "")
            else:
                yield _Edit(self.line_start(key.start), self.line_end(value.end), "")

    def case_node(self, case: Case) -> Members:
        node = self.source.find(case.path)
        assert isinstance(node, Members)  # noqa: S101 - it was read as an object
        return node

    def changed(self, node: Node, old: Any, new: Any) -> Iterator[_Edit]:
        if not list(compare.value_differences(old, new, "", compare.Ignored(()))):
            return
        if node.alias:
            # What it names stands somewhere else, and stays.
            yield _Edit(node.start, node.end, self.flow(new))
        elif isinstance(node, Members) and isinstance(new, dict) and node.pairs and new:
            yield from self.members(node, old, new)
        elif isinstance(node, Items) and isinstance(new, list) and len(node.items) == len(new):
            for child, before, after in zip(node.items, old, new, strict=True):
                yield from self.changed(child, before, after)
        else:
            space = " " if node.start == node.end else ""
            yield _Edit(node.start, node.end, space + self.value(new, node))

    def members(self, node: Members, old: dict[str, Any], new: dict[str, Any]) -> Iterator[_Edit]:
        kept = [(key, value) for key, value in node.pairs if isinstance(key, Scalar) and key.text in new]
        if len(kept) != len(node.pairs) and (node.flow or not kept or not self.own_lines(node, new)):
            yield _Edit(node.start, node.end, self.value(new, node))
            return
        for key, value in node.pairs:
            assert isinstance(key, Scalar)  # noqa: S101 - keys are text
            if key.text in new:
                yield from self.changed(value, old[key.text], new[key.text])
            else:
                yield _Edit(self.line_start(key.start), self.line_end(value.end), "")
        names = {key.text for key, _ in kept}
        column, end = node.pairs[0][0].at.column - 1, self.behind(kept[-1][1], node)
        between = ", " if node.flow else "\n" + " " * column
        added = [self.member(key, value, node, column) for key, value in new.items() if key not in names]
        if added:
            yield _Edit(end, end, between + between.join(added))

    def own_lines(self, node: Members, new: dict[str, Any]) -> bool:
        """Whether the members that go have lines of their own."""
        gone = [key.start for key, _ in node.pairs if isinstance(key, Scalar) and key.text not in new]
        return all(not self.text[self.line_start(start) : start].strip() for start in gone)

    def behind(self, value: Node, holder: Members) -> int:
        """Where a member is added behind a value: in a block behind the comment of its line."""
        if holder.flow:
            return value.end
        comment = _COMMENT.match(self.text, value.end)
        return comment.end() if comment is not None else value.end

    def line_start(self, offset: int) -> int:
        return self.text.rfind("\n", 0, offset) + 1

    def line_end(self, offset: int) -> int:
        found = self.text.find("\n", offset)
        return found + 1 if found >= 0 else len(self.text)

    def member(self, key: str, value: Any, node: Members, column: int) -> str:
        """`key: value`; a long value stands in lines of its own, where the mapping does."""
        name = json.dumps(key, ensure_ascii=False) if self.is_json else _flow(key)
        flow = self.flow(value)
        if node.flow or len(flow) + len(name) + column <= WIDTH or not isinstance(value, dict | list):
            return f"{name}: {flow}"
        return f"{name}:\n{' ' * (column + 2)}{_block(value, column + 2)}"

    def value(self, value: Any, node: Node) -> str:
        if not isinstance(node, Items | Members) or node.flow or self.is_json:
            return self.flow(value)
        # A list may stand in the column of its key, where nothing else may.
        indent = 2 if isinstance(node, Items) and not isinstance(value, list) else 0
        block = isinstance(value, dict | list) and value
        return " " * indent + (_block(value, node.at.column - 1 + indent) if block else _flow(value))

    def flow(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False) if self.is_json else _flow(value)


def _flow(value: Any) -> str:
    return dump(value, flow=True)


def _block(value: Any, column: int) -> str:
    return dump(value).replace("\n", "\n" + " " * column)
