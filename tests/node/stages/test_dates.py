"""The `date` built-in reads and writes what OpenSearch's processor does: formats, texts, zones and locales at random.

The gate draws some hundred. `HEADRACE_DATES=5000 pytest tests/node/stages/test_dates.py` draws more, another `HEADRACE_SEED` others.
"""

from __future__ import annotations

import json
import os
from random import Random
from typing import Any

import pytest

from headrace_pipelines._wasm import Native
from headrace_pipelines.engine import Batch, Deadline
from tests.conftest import Http
from tests.support.dates import LOCALES, TIMEZONES, Draw, loses, names, refused, texts

DRAWN = int(os.environ.get("HEADRACE_DATES", "250"))
SEED = os.environ.get("HEADRACE_SEED", "headrace")
REFUSED = "refused"
PER_REQUEST = 200
"""Processors of one request."""

Pair = tuple[dict[str, Any], Any]


def ours(options: dict[str, Any], value: Any) -> str | None:
    """What the built-in writes; `None` where it fails."""
    parameters = json.dumps({**options, "field": "d", "target_field": "t"}).encode()
    try:
        native = Native("date", "document", parameters)
    except ValueError:
        return REFUSED
    batch = Batch.of("document", json.dumps({"d": value}).encode(), index="i", id="1")
    batch.run_native(native, Deadline(), abort=True, pipeline="", stage="")
    if batch.outcome(0)[1] is not None:
        return None
    written = json.loads(batch.document(0))["t"]
    assert isinstance(written, str)
    return written


async def theirs(direct: Http, pairs: list[Pair]) -> list[str | None]:
    """What the cluster's processor writes for each, one simulation for many."""
    if len(pairs) > PER_REQUEST:
        return [*await theirs(direct, pairs[:PER_REQUEST]), *await theirs(direct, pairs[PER_REQUEST:])]
    processors = [
        {"date": {**options, "field": f"f{n}", "target_field": f"t{n}", "ignore_failure": True}}
        for n, (options, _) in enumerate(pairs)
    ]
    document = {f"f{n}": value for n, (_, value) in enumerate(pairs)}
    body = {"pipeline": {"processors": processors}, "docs": [{"_source": document}]}
    answer = await direct.post("/_ingest/pipeline/_simulate", body)
    # An output format that is none fails the whole request, with a 500.
    if answer.status in (400, 500) and len(pairs) == 1:
        assert b"invalid output format" in answer.body, answer.body
        return [REFUSED]
    if answer.status in (400, 500):
        half = len(pairs) // 2
        return [*await theirs(direct, pairs[:half]), *await theirs(direct, pairs[half:])]
    assert answer.status == 200, answer.body
    source = answer.json["docs"][0]["doc"]["_source"]
    return [source.get(f"t{n}") for n in range(len(pairs))]


async def compared(direct: Http, pairs: list[Pair]) -> list[str | None]:
    """Every pair through both; what the cluster wrote."""
    expected = await theirs(direct, pairs)
    different = []
    for (options, value), wanted in zip(pairs, expected, strict=True):
        found = ours(options, value)
        if refused(options) and wanted != REFUSED:
            assert found == REFUSED, options
        elif found != wanted and not (found is None and loses(options)):
            different.append((options, value, wanted, found))
    assert not different, f"{len(different)} of {len(pairs)}: {different[:5]}"
    return expected


async def test_dates_are_written_and_read_as_the_cluster_does(direct: Http):
    draw = Draw(Random(SEED))
    written = [draw.written() for _ in range(DRAWN)]
    made = await compared(direct, written)
    readable = [(options["output_format"], text) for (options, _), text in zip(written, made, strict=True) if text]
    read = [draw.read(pattern, text) for pattern, text in readable if text != REFUSED for _ in range(2)]
    found = await compared(direct, read)
    # A generator whose texts nothing can read would compare failures only.
    assert sum(text is not None for text in found) > len(found) / 3
    assert sum(text is not None and text != REFUSED for text in made) > len(made) / 2


async def test_numbers_are_read_as_the_cluster_does(direct: Http):
    draw = Draw(Random(SEED))
    await compared(direct, [draw.number() for _ in range(DRAWN // 2)])


async def test_every_name_of_a_format_writes_and_reads_as_at_the_cluster(direct: Http):
    moments = ["2024-12-30T05:06:07.089Z", "1969-01-02T23:59:59.123456789+05:30"]
    written: list[Pair] = [({"formats": ["ISO8601"], "output_format": name}, at) for name in names() for at in moments]
    made = await compared(direct, written)
    read = [
        ({"formats": [o["output_format"]]}, t) for (o, _), t in zip(written, made, strict=True) if t and t != REFUSED
    ]
    assert len(read) > len(names())
    await compared(direct, read)


async def test_names_of_every_language_are_read_as_at_the_cluster(direct: Http):
    """Months, days, quarters, eras, halves and parts of the day, a sample of the locales; all with HEADRACE_DATES=1000."""
    random = Random(SEED)
    by_locale, groups = texts()
    pairs: list[Pair] = []
    for locale in random.sample(sorted(by_locale.keys() - {"-"}), min(DRAWN, 800)):
        row = by_locale[locale]
        pattern, text, column = random.choice(
            [
                *[(f"yyyy {'ML'[n % 2] * (4, 3, 5)[n // 2]} dd", "2024 {} 05", n) for n in range(6)],
                *[(f"YYYY ww {'Ec'[n % 2] * (4, 3, 5)[n // 2]}", "2024 10 {}", 6 + n) for n in range(6)],
                *[(f"yyyy-MM-dd {'Qq'[n % 2] * (4, 3, 5)[n // 2]}", "2024-05-05 {}", 12 + n) for n in range(6)],
                ("yyyy-MM-dd G", "2024-05-05 {}", 19),
                ("yyyy-MM-dd hh:mm a", "2024-05-05 05:07 {}", 22),
                ("yyyy-MM-dd hh:mm B", "2024-05-05 05:07 {}", 26),
            ]
        )
        name = random.choice([name for name in groups[row[column]] if name] or ["x"])
        pairs.append(({"formats": [pattern], "locale": locale}, text.format(name)))
    found = await compared(direct, pairs)
    assert sum(text is not None for text in found) > len(found) / 2


async def test_zones_by_name_and_far_from_today_are_the_clusters(direct: Http):
    random = Random(SEED)
    draw = Draw(random)
    pairs: list[Pair] = []
    for _ in range(DRAWN // 2):
        zone = random.choice(["EST", "EDT", "CET", "MSK", "JST", "PST", "UTC", "Z", "UTC+3", "+02:00", *TIMEZONES])
        pattern = f"yyyy-MM-dd HH:mm {random.choice(['z', 'VV', 'zzzz', 'v'])}"
        locale = random.choice([{}, {"locale": random.choice(LOCALES)}])
        pairs.append(
            ({"formats": [pattern], **locale, **draw.timezone()}, f"2024-{random.randint(1, 12):02}-15 03:04 {zone}")
        )
        year = random.choice([random.randint(-9999, 1900), random.randint(1900, 2030), random.randint(10_000, 999_999)])
        output = random.choice(
            ["uuuu-MM-dd HH:mm XXXXX z zzzz v vvvv O", "epoch_millis", "epoch_second", "YYYY-'W'ww-e G"]
        )
        options = {
            "formats": ["u-M-d H:m"],
            "timezone": random.choice([*TIMEZONES, "America/New_York"]),
            "output_format": output,
        }
        pairs.append((options, f"{year}-{random.randint(1, 12)}-{random.randint(1, 28)} {random.randrange(24)}:30"))
    await compared(direct, pairs)


@pytest.mark.parametrize(
    "formats", [["YYYY-MM-dd"], ["dd/MM/YYYY"], ["YYYY"], ["YYYY-MM-dd||YYYY/MM/dd"], ["YYYY", "[YYYY-]MM"]]
)
def test_a_year_of_the_week_alone_is_refused(formats: list[str]):
    with pytest.raises(ValueError, match="Y is the year of the week"):
        Native("date", "document", json.dumps({"field": "d", "formats": formats}).encode())


async def test_a_year_of_the_week_beside_other_formats_costs_only_itself(direct: Http):
    options = {"formats": ["YYYY/MM/dd", "yyyy-MM-dd"]}
    await compared(direct, [(options, "2020-01-02")])
    assert ours(options, "2020/01/02") is None
    assert ours({"formats": ["YYYY/MM/dd||yyyy-MM-dd"]}, "2020-01-02") == "2020-01-02T00:00:00.000Z"
    assert (await theirs(direct, [(options, "2020/01/02")]))[0] is not None


async def test_long_names_of_zones_are_read_in_some_languages_only(direct: Http):
    def pair(locale: str, zone: str) -> Pair:
        return {"formats": ["yyyy-MM-dd HH:mm zzzz"], "locale": locale}, f"2024-07-02 03:04 {zone}"

    await compared(
        direct, [pair("de", "Mitteleuropäische Sommerzeit"), pair("ja", "日本標準時"), pair("sv", "Asia/Tokyo")]
    )
    swedish = pair("sv", "centraleuropeisk sommartid")
    assert (await theirs(direct, [swedish]))[0] is not None
    assert ours(*swedish) is None


@pytest.mark.parametrize(
    "text",
    ["1" * 100_000, "[" * 1000, "Europe/" * 10_000, "GMT+" * 1000, "-" * 1000, "2024-01-01T00:00:00.123456789012345"],
)
@pytest.mark.parametrize(
    "pattern",
    ["[" * 90 + "yyyy" + "]" * 90, "[yyyy]" * 500, "yyyyMMdd" * 200, "zzzz", "[z][VV][XXX]" * 300, "p" * 900 + "d"],
)
def test_long_texts_and_deep_formats_end_soon(pattern: str, text: str):
    assert ours({"formats": [pattern], "locale": "de"}, text) is None


def test_sections_nested_beyond_reason_cost_their_format_only():
    assert ours({"formats": ["[" * 5000 + "yyyy", "yyyy"]}, "2024") == "2024-01-01T00:00:00.000Z"
