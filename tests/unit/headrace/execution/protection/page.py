"""The tables of docs/reference/search-rules.md, made of the table of rules.

`python -m tests.unit.headrace.execution.protection.page` writes them."""

from __future__ import annotations

from headrace.execution.protection.rules import aggregations, queries, search
from headrace.execution.protection.rules.row import Row
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "reference" / "search-rules.md"
BEGIN = "<!-- The tables below are made of the table of rules (proxy/protection/rules). -->\n"
TABLES: dict[str, dict[str, Row]] = {
    "Query clauses": queries.QUERIES,
    "Metric aggregations": aggregations.METRICS,
    "Bucket aggregations": aggregations.BUCKETS,
    "Pipeline aggregations": aggregations.PIPELINES,
    "Options of a search": search.OPTIONS,
    "Options of inner hits and top hits": search.INNER_OPTIONS,
    "Suggesters": search.SUGGESTERS,
    "Sorts": search.SORTS,
}


def tables() -> str:
    """All tables: rows that say the same are one."""
    text = ""
    for title, rows in TABLES.items():
        text += f"\n## {title}\n\n| name | filter | mask | why |\n| --- | --- | --- | --- |\n"
        grouped: dict[tuple[str, str, str], list[str]] = {}
        for name, row in rows.items():
            plugin = f" ({row.plugin})" if row.plugin else ""
            grouped.setdefault((row.filtered.value, row.masked.value, row.why), []).append(f"`{name}`{plugin}")
        for (filtered, masked, why), names in grouped.items():
            text += f"| {', '.join(names)} | {filtered} | {masked} | {why} |\n"
    return text


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().split(BEGIN)[0] + BEGIN + tables())
