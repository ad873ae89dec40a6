"""`python -m devnode.names` writes the tables anew from the node's Java, which has to be a whole JDK.

The names are CLDR's, and those of zones tzdata's as well, with the fallbacks between languages that java.time makes.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from devnode import fetch
from headrace.cli.demo import java

TABLES = Path(__file__).parents[2] / "wasm-runtime" / "data" / "dates"
LONG = {"", "en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "tr", "ja", "ko", "zh"}
"""Languages whose long names of zones are kept; all languages together would take 3.5 MB."""
READ_BEFORE = ("GMT", "UTC", "UT", "+", "-")
"""Beginnings that java.time reads before it looks for names."""

Pairs = frozenset[tuple[str, str]]


def main() -> None:
    """Runs the Java program, and packs what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        locales, zones = Path(folder, "locales"), Path(folder, "zones")
        server = fetch.server()
        jar = next((server / "lib").glob("opensearch-[0-9]*.jar"))
        options = ["-Xmx3g", "-Djava.locale.providers=SPI,CLDR", "--add-opens=java.base/java.time.format=ALL-UNNAMED"]
        program = Path(__file__).with_name("Names.java")
        subprocess.run([java.require().path, *options, "-cp", jar, program, locales, zones], check=True)
        TABLES.mkdir(exist_ok=True)
        (TABLES / "locales.tsv").write_text(packed_locales(locales.read_text()))
        (TABLES / "zones.tsv").write_text(packed_zones(zones.read_text()))


def packed_locales(text: str) -> str:
    """Locales with equal rows in one row."""
    rows, rest = text.split("--\n", 1)
    alike: dict[str, list[str]] = {}
    for row in rows.splitlines():
        name, columns = row.split("\t", 1)
        alike.setdefault(columns, []).append(name or "-")
    return "".join(f"{' '.join(names)}\t{columns}\n" for columns, names in alike.items()) + f"--\n{rest}"


def packed_zones(text: str) -> str:
    """Every table as what it adds to the earlier one that is most like it, and what it removes."""
    written, rest = text.split("--\n", 1)
    numbers: dict[tuple[str, str], int] = {}
    lines: list[str] = []
    done: list[Pairs] = []
    for names, table in sorted(tables(rest).items(), key=lambda item: (len(item[0][0]), item[0])):
        base = min(range(len(done)), key=lambda n: len(table ^ done[n]), default=None)
        if base is not None and len(table ^ done[base]) >= len(table):
            base = None
        before: Pairs = done[base] if base is not None else frozenset()
        kept = {name for name, _ in table}
        added = sorted(table - before)
        removed = sorted(pair for pair in before - table if pair[0] not in kept)
        columns = [[base36(numbers.setdefault(pair, len(numbers))) for pair in pairs] for pairs in (added, removed)]
        lines.append("\t".join([" ".join(names), "-" if base is None else base36(base), *map(" ".join, columns)]))
        done.append(table)
    pairs = [name if name == zone else f"{name}\t{zone}" for name, zone in numbers]
    return "--\n".join(["".join(f"{line}\n" for line in part) for part in (written.splitlines(), pairs, lines)])


def tables(text: str) -> dict[tuple[str, ...], Pairs]:
    """What names mean, by the locales and styles that agree on it."""
    found: dict[Pairs, list[str]] = {}
    for block in text.split("== ")[1:]:
        first, *lines = block.splitlines()
        names = first.split(" ")
        if any(name.endswith("+S") or name.split("+")[0].split("_")[0] in LONG for name in names):
            pairs = (tuple(line.split("\t")) for line in lines)
            meant = frozenset((name, zone) for name, zone in pairs if not name.startswith(READ_BEFORE))
            found.setdefault(meant, []).extend(names)
    return {tuple(sorted(names)): meant for meant, names in found.items()}


def base36(number: int) -> str:
    """`number` in digits and small letters."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return (base36(number // 36) if number >= 36 else "") + digits[number % 36]


if __name__ == "__main__":
    main()
