"""Writes the tables of docs/reference/performance.md from what the programs here print: `benches.page FILE...`.

The files hold the lines of `python -m benches --json`, `benches.latency`, `benches.throughput`, `benches.encrypted` and
`benches.growth`; a table of which they hold nothing stays as it is.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "performance.md"
Lines = list[dict[str, Any]]
"""What the programs have printed."""
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
    "bulk of 1,000: drop by a condition, set, lowercase": "one bulk of 1,000, repeated: the same",
    "bulk of 1,000: filter UDF, set, lowercase": "one bulk of 1,000, repeated: a filter UDF, `set`, `lowercase`",
    "bulk of 1,000: one JSON-ABI UDF": "one bulk of 1,000, repeated: all of it as one JSON-ABI UDF in C",
}
BESIDE = {
    "search, passed beside pipelines of other indexes": "one search, repeated, beside pipelines of other indexes",
}
LATENCY = {
    "mixed searches, passed": "search that passes",
    "searches with a query and a result UDF attached": "search with a compiled query UDF and result UDF",
    "diverse single documents: drop by a condition, set, lowercase": "one document through three stages",
    "diverse bulks of 10: drop by a condition, set, lowercase": "bulk of 10 through three stages",
}
PROXIES = {
    "headrace": "Headrace",
    "headrace+pipelines": "Headrace",
    "aiohttp": "aiohttp",
    "aiohttp+msgspec": "aiohttp + msgspec",
    "nginx": "nginx",
    "envoy": "Envoy",
    "envoy+wasm": "Envoy + filter",
}
"""Proxies as the table of latency calls them."""


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


def latency(lines: Lines) -> str:
    """What proxies add to the latency of the stub alone."""
    found = {(each["case"], each["proxy"]): each for each in lines}
    rows = ["| request | proxy | p50 | p99 |", "|---|---|---|---|"]
    for case, label in LATENCY.items():
        alone = found.get((case, "the stub"), {})
        for proxy, name in PROXIES.items():
            if (each := found.get((case, proxy))) is not None:
                added = [f"{each[q] - alone[q]:.1f} ms" for q in ("p50_ms", "p99_ms")]
                rows.append(f"| {label} | {name} | {added[0]} | {added[1]} |")
    return "\n".join(rows)


def throughput(lines: Lines) -> str:
    """Requests per second of each proxy with one core."""
    found = {(each["case"], each["proxy"]): each["per_second"] for each in lines}
    rows = ["| request | Headrace | aiohttp | nginx | Envoy |", "|---|---|---|---|---|"]
    ways = [("headrace", "headrace+pipelines"), ("aiohttp", "aiohttp+msgspec"), ("nginx",), ("envoy", "envoy+wasm")]
    labels = {case: f"{label}, passed" for case, label in PASSED.items()} | DIVERSE | ATTACHED
    for case, label in labels.items():
        cells = [next((f"{found[case, way]:,.0f}" for way in same if (case, way) in found), "-") for same in ways]
        if any(cell != "-" for cell in cells):
            rows.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(rows)


def encrypted(lines: Lines) -> str:
    """TLS on the client's side, beside the same in plain text and by nginx."""
    rows = ["| request passed | plain | TLS | TLS / plain | TLS, Headrace / nginx |", "|---|---|---|---|---|"]
    for each in lines:
        plain, ours, nginx = each["headrace"], each["headrace, TLS"], each.get("nginx, TLS")
        label = PASSED.get(each["case"], each["case"])
        beside_nginx = f"{ours / nginx:.2f}" if nginx else "-"
        rows.append(f"| {label} | {milliseconds(plain)} | {milliseconds(ours)} | {ours / plain:.2f} | {beside_nginx} |")
    return "\n".join(rows)


def growth(lines: Lines) -> str:
    """What a registry of many pipelines costs."""
    rows = [
        "| pipelines | applied in | memory added | a change in force | search passed | document, three stages |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {each['pipelines']:,} | {each['apply_s']:.1f} s | {each['memory_mb']:.0f} MB | {each['change_ms']:,.0f} ms "
        f"| {milliseconds(each['passed_us'] / 1000)} | {milliseconds(each['piped_us'] / 1000)} |"
        for each in lines
    ]
    return "\n".join(rows)


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


def compared(page: str, results: Results) -> str:
    """The page with the tables of `python -m benches`."""
    partners = {"aiohttp": "aiohttp", "nginx": "nginx", "envoy": "Envoy"}
    page = written(page, "passed", table(results, PASSED, "request", partners))
    shaped = {"aiohttp+msgspec": "aiohttp + msgspec", "envoy+wasm": "Envoy + filter"}
    page = written(page, "piped", table(results, PIPED, "request", shaped))
    if any(case in results for case in DIVERSE):
        page = written(page, "diverse", table(results, DIVERSE, "request", shaped))
        page = written(page, "attached", beside(results, ATTACHED))
    return written(page, "beside", beside(results, BESIDE))


TABLES = {
    "latency": ("p50_ms", latency),
    "throughput": ("per_second", throughput),
    "encrypted": ("headrace, TLS", encrypted),
    "growth": ("apply_s", growth),
}
"""Tables of programs of their own: a member of their lines, and what makes the table."""


def main(files: list[Path]) -> None:
    """Puts the results of runs into the page."""
    lines: Lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    page = PAGE.read_text()
    for name, (member, made) in TABLES.items():
        if theirs := [line for line in lines if member in line]:
            page = written(page, name, made(theirs))
    results = {line["case"]: line["contenders"] for line in lines if "contenders" in line}
    PAGE.write_text(compared(page, results) if results else page)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
