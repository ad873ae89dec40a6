"""Writes the tables of docs/reference/performance.md from `python -m benches --json > FILE`: `benches.page FILE`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "performance.md"
Results = dict[str, dict[str, dict[str, float]]]
"""By case and contender: `ms`, and `ratio` with `ratio_min` and `ratio_max` to the first contender."""

DIVERSE = {
    "diverse bulks of 1,000: drop by a condition, set, lowercase": "bulk of 1,000: a drop by a condition, 2 built-ins",
    "diverse bulks of 1,000: filter UDF, set, lowercase": "bulk of 1,000: a filter UDF (field ABI), 2 built-ins",
    "diverse bulks of 1,000: one JSON-ABI UDF": "bulk of 1,000: all of it as one JSON-ABI UDF in C",
    "diverse bulks of 1,000: one Python UDF": "bulk of 1,000: all of it in Python, sandboxed",
    "diverse bulks of 1,000: one JavaScript UDF": "bulk of 1,000: all of it in JavaScript",
    "diverse bulks of 10: drop by a condition, set, lowercase": "bulk of 10: a drop by a condition, 2 built-ins",
}
ATTACHED = {
    "diverse bulks of 1,000: conditions that are false": "bulk of 1,000 whose conditions are all false",
    "diverse single documents: drop by a condition, set, lowercase": "one document through three stages",
    "searches with a query and a result UDF attached": "search with a compiled query UDF and result UDF",
}
PASSED = {
    "mixed searches, passed": "search, 200 queries over 20 indexes",
    "mixed documents by id, passed": "`GET _doc`",
    "mixed bulks of 10, passed": "bulk of 10",
    "mixed bulks of 1,000, passed": "bulk of 1,000, 0.6 MB",
    "search, passed": "one search, repeated",
    "bulk of 1,000, passed": "one bulk of 1,000, repeated",
    "bulk of 19,000, passed": "one bulk of 19,000, 11 MB, repeated",
}
PIPED = {
    "mixed bulks of 10: built-ins": "bulk of 10: drop by a condition, `set`, `lowercase`",
    "bulk of 1,000: drop by a condition, set, lowercase": "bulk of 1,000: the same",
    "bulk of 1,000: filter UDF, set, lowercase": "bulk of 1,000: a filter UDF (field ABI), `set`, `lowercase`",
    "bulk of 1,000: one JSON-ABI UDF": "bulk of 1,000: all of it as one JSON-ABI UDF in C",
}
BESIDE = {
    "search, passed beside pipelines of other indexes": "search passed beside pipelines of other indexes",
}


def milliseconds(value: float) -> str:
    """Three digits that count."""
    return f"{value:.3f} ms" if value < 1 else f"{value:.1f} ms"


def row(results: Results, case: str, label: str, partners: list[str]) -> str:
    """A case beside its partners; a dash for one that was not measured."""
    found = results[case]
    ours = next(iter(found.values()))
    ratios = [f"{found[name]['ratio']:.2f}" if "ratio" in found.get(name, {}) else "-" for name in partners]
    return f"| {label} | {milliseconds(ours['ms'])} | {' | '.join(ratios)} |"


def table(results: Results, cases: dict[str, str], first: str, partners: dict[str, str]) -> str:
    """A table of ratios: Headrace / partner."""
    lines = [f"| {first} | Headrace | {' | '.join(partners.values())} |", "|---|---|" + "---|" * len(partners)]
    lines += [row(results, case, label, list(partners)) for case, label in cases.items() if case in results]
    return "\n".join(lines)


def beside(results: Results, cases: dict[str, str]) -> str:
    """What pipelines add to requests that would pass."""
    lines = ["| request | Headrace | passed | ratio |", "|---|---|---|---|"]
    for case, label in cases.items():
        if case in results:
            ours, passed = results[case]["headrace+pipelines"], results[case]["headrace"]
            lines.append(
                f"| {label} | {milliseconds(ours['ms'])} | {milliseconds(passed['ms'])} | {passed['ratio']:.2f} "
                f"({passed['ratio_min']:.2f} to {passed['ratio_max']:.2f}) |"
            )
    return "\n".join(lines)


def written(page: str, name: str, text: str) -> str:
    """The page with another table between its markers. Raises ValueError without them."""
    found, count = re.subn(
        rf"(<!-- benches:begin {name} -->\n).*?(\n<!-- benches:end -->)",
        lambda match: match[1] + text + match[2],
        page,
        flags=re.DOTALL,
    )
    if not count:
        raise ValueError(f"{PAGE.name} has no table [{name}]")
    return found


def main(file: Path) -> None:
    """Puts the results of a run into the page."""
    results: Results = {}
    for line in file.read_text().splitlines():
        case: dict[str, Any] = json.loads(line)
        results[case["case"]] = case["contenders"]
    page = PAGE.read_text()
    partners = {"aiohttp": "aiohttp", "nginx": "nginx", "envoy": "Envoy"}
    page = written(page, "passed", table(results, PASSED, "request", partners))
    shaped = {"aiohttp+msgspec": "aiohttp + msgspec", "envoy+wasm": "Envoy + filter"}
    page = written(page, "piped", table(results, PIPED, "request", shaped))
    if any(case in results for case in DIVERSE):
        page = written(page, "diverse", table(results, DIVERSE, "request", shaped))
        page = written(page, "attached", beside(results, ATTACHED))
    PAGE.write_text(written(page, "beside", beside(results, BESIDE)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
