"""Formats, moments, texts, zones and locales of the `date` processor, drawn at random; a seed draws the same again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

ENGINE = Path(__file__).parents[2] / "wasm-runtime"
NAMED = ENGINE / "src" / "native" / "date" / "pattern" / "named.rs"
DATA = ENGINE / "data" / "dates"

YEARS = ["yyyy", "uuuu", "yyyy", "uuuu", "yy", "uu", "y", "u", "yyy", "yyyyy", "uuuuuu"]
MONTHS = ["MM", "M", "MMM", "MMMM", "L", "LL", "LLL", "LLLL", "MMMMM", "LLLLL"]
DAYS = ["dd", "d", "dd", "d", "ppd"]
WEEKDAYS = ["E", "EEE", "EEEE", "EEEEE", "e", "ee", "eee", "eeee", "eeeee", "c", "ccc", "cccc", "ccccc"]
HOURS = ["HH", "H", "k", "kk", "HH", "h a", "hh a", "K a", "KK a", "h B", "hh BBBB", "K BBBBB", "HH a", "ppH"]
FRACTIONS = ["S", "SS", "SSS", "SSSSSS", "SSSSSSSSS", "n", "nnnnnnnnn", "[.SSS]", "[.SSSSSS][.SSS]"]
DAY_TIMES = ["A", "N", "AAAAAAAA", "NNNNNNNNNNNNNN"]
ZONES = [
    "X",
    "XX",
    "XXX",
    "XXXX",
    "XXXXX",
    "x",
    "xx",
    "xxx",
    "xxxx",
    "xxxxx",
    "Z",
    "ZZ",
    "ZZZ",
    "ZZZZ",
    "ZZZZZ",
    "O",
    "OOOO",
]
LETTERS = "yuMLdDEecaHhKkmsSnNAQqGgBzvVOXxZFwWYp"
NAMED_ZONES = ["z", "zz", "zzz", "zzzz", "VV", "v", "vvvv", "'['VV']'", "XXX'['VV']'", "[z]", "[XXX][X]"]
WEEKS = [
    "YYYY-'W'ww-e",
    "YYYY-'W'w",
    "YYYY",
    "YY'W'ww",
    "yyyy MM W e",
    "YYYY ww EEE",
    "YYYYww",
    "Y",
    "yyyy-MM F E",
    "yyyy 'w'ww",
]
ORDINALS = [
    "yyyy-DDD",
    "uuuuDDD",
    "yyyy-D",
    "uuuu DD",
    "g",
    "yyyy QQQ",
    "yyyy q",
    "yyyy QQQQ",
    "G yyyy-MM-dd",
    "uuuu-MM-dd GGGG",
]
BETWEEN = ["-", "/", ".", " ", "", "", "', '", "'T'", "'o''clock'", "|", "T".join("''"), ":", "年"]
WRONG = [
    "yyyy-MM-dd{",
    "qqqqqq",
    "cc",
    "b",
    "yyyy'",
    "MMMMMM",
    "aa",
    "p",
    "ppHHmm",
    "S" * 10,
    "V",
    "OO",
    "zzzzz",
    "]",
    "#",
    "vv",
]
ODD = [
    "[yyyy[-MM[-dd]]]",
    "yyyy[-MM",
    "[[yyyy]-]MM",
    "''",
    "'x'",
    "yyyyMMddHHmmssSSS",
    "HHmm",
    "yyMMdd",
    "ddMMyyyy",
    "yyyyMMdd'T'HHmmssX",
]

TIMEZONES = [
    "UTC", "Z", "GMT", "UT", "+00:00", "+5", "+05", "+0530", "-03:30", "GMT+2", "UTC-8", "UT+1", "UTC+05:30", "Etc/GMT+5",
    "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "Asia/Tokyo", "PST8PDT",
    "Europe/London", "America/Sao_Paulo", "Africa/Cairo", "Pacific/Apia", "Asia/Kathmandu", "CET", "EST5EDT", "GMT0",
]  # fmt: skip
REFUSED_ZONES = [
    "EST",
    "europe/paris",
    "+18:01",
    "+19",
    "UTC+19",
    "GMT2",
    "",
    "Nowhere/City",
    "+5:30",
    "utc",
    "+05:30:15:1",
]
LOCALES = [
    "en", "en-US", "en_GB", "de", "de-DE", "de_AT", "fr", "fr-CA", "es", "it", "pt-BR", "nl", "pl", "ru", "tr", "ja", "ko", "zh",
    "zh-TW", "ar", "he", "hi", "th", "sv-SE", "cs", "fi", "el", "hu", "uk", "vi", "id", "root", "en-IN", "fa", "de-JP", "sr-RS",
]  # fmt: skip
REFUSED_LOCALES = ["xx", "nonsense", "en-XX", "de-DE-x-y", "english"]
ABBREVIATIONS = ["EST", "EDT", "PST", "PDT", "CET", "CEST", "MSK", "EET", "EEST", "JST", "IST", "BST", "GMT", "UTC", "AEST", "NZDT", "HST", "Z"]  # fmt: skip
OWN = ["ISO8601", "UNIX", "UNIX_MS", "TAI64N"]
NUMBERS = [
    "1577934245", "1577934245.123", "1577934245123", " 1577934245", "-1.5", "1.5e9", "0", "-1", "+5", "1577934245f", "0x1p30", "NaN",
    "Infinity", "", "-0", "1e400", "12.", ".5", "1577934245,5", "1577934245.9999999", "99999999999999999", "253402300800", "1_000",
    "4000000050d506482dbdf024", "@4000000050d506482dbdf024", "@4000", "1577934245123.456789", "-1577934245123.4", "9223372036854775808",
]  # fmt: skip


@cache
def names() -> list[str]:
    """The names of formats, in snake case and camel case, as the engine has them."""
    formats = NAMED.read_text().split("const FORMATS")[1].split("];")[0]
    found = re.findall(r'\(\s*"([a-z0-9_]+)",', formats)
    snake = sorted(set(found) - {"week_year"})
    camel = [re.sub(r"_(.)", lambda m: m.group(1).upper(), name) for name in snake]
    return [*OWN, *snake, *camel]


@cache
def texts() -> tuple[dict[str, list[int]], list[list[str]]]:
    """The names that locales have for months and so on: groups by locale, and the groups."""
    rows, groups, _ = (DATA / "locales.tsv").read_text().split("--\n")
    by_locale = {}
    for row in rows.splitlines():
        locales, _weeks, *columns = row.split("\t")
        by_locale.update({locale: [int(column, 36) for column in columns] for locale in locales.split(" ")})
    return by_locale, [group.split("|") for group in groups.splitlines()]


@dataclass
class Draw:
    """Draws what the processor is given."""

    random: Random

    def moment(self) -> str:
        """An ISO 8601 text."""
        r = self.random
        year = r.choice(
            [
                2024,
                2023,
                2020,
                1999,
                2000,
                1970,
                1969,
                2026,
                1900,
                2100,
                9999,
                r.randrange(1971, 2037),
                r.randrange(1971, 2037),
            ]
        )
        month, day = r.choice(
            [(1, 1), (12, 31), (2, 28), (12, 29), (3, 31), (10, 27), (r.randint(1, 12), r.randint(1, 28))]
        )
        if r.random() < 0.1 and (year % 4 == 0 and year != 1900 and year != 2100):
            month, day = 2, 29
        clock = r.choice(
            [
                "00:00:00",
                "23:59:59",
                "12:00:00",
                "02:30:00",
                f"{r.randrange(24):02}:{r.randrange(60):02}:{r.randrange(60):02}",
            ]
        )
        fraction = r.choice(["", "", ".5", ".123", ".000001", ".123456789", ".999999999"])
        return f"{year:04}-{month:02}-{day:02}T{clock}{fraction}{r.choice(['Z', 'Z', '+02:00', '-05:30', ''])}"

    def format(self) -> str:
        """A pattern that most texts of it can be read by, at times any letters."""
        r = self.random
        kind = r.random()
        if kind < 0.06:
            return r.choice(ODD)
        if kind < 0.12:
            parts = [r.choice(LETTERS) * r.randint(1, 5) if r.random() < 0.7 else r.choice("[] -:年") for _ in range(6)]
            return "".join(parts[: r.randint(1, 6)])
        if kind < 0.16:
            return "".join(
                r.choice(r.choice([YEARS, MONTHS, DAYS, WEEKDAYS, HOURS, FRACTIONS, DAY_TIMES, ZONES, BETWEEN]))
                for _ in range(r.randint(1, 6))
            )
        if kind < 0.26:
            date = r.choice(WEEKS)
        elif kind < 0.36:
            date = r.choice(ORDINALS)
        else:
            parts = [r.choice(YEARS), r.choice(MONTHS), r.choice(DAYS)]
            r.shuffle(parts)
            date = r.choice(BETWEEN).join(parts)
            if r.random() < 0.3:
                date = r.choice([f"{r.choice(WEEKDAYS)} {date}", f"{date} {r.choice(WEEKDAYS)}"])
            if r.random() < 0.1:
                date = r.choice(["MMM dd", "dd", "MM", "yyyy", "yyyy-MM", "MMMM d", "EEE"])
        time = ""
        if r.random() < 0.75:
            hour = r.choice(HOURS)
            time = (
                r.choice([" ", "'T'", ", "]) + hour.replace(" ", ":mm:ss ", 1)
                if " " in hour
                else r.choice([" ", "'T'", ""]) + f"{hour}:mm"
            )
            if " " not in hour and r.random() < 0.7:
                time += ":ss"
                if r.random() < 0.5:
                    time += r.choice([".", ",", ""]) + r.choice(FRACTIONS)
            if r.random() < 0.08:
                time = " " + r.choice(DAY_TIMES)
        zone = r.choice(["", " "]) + r.choice(r.choice([ZONES, NAMED_ZONES])) if r.random() < 0.5 else ""
        return date + time + zone

    def formats(self) -> str:
        """A name, a pattern or several of them."""
        r = self.random
        kind = r.random()
        if kind < 0.35:
            return r.choice(names()[len(OWN) :])
        if kind < 0.45:
            return "||".join(r.choice([self.format(), r.choice(names()[len(OWN) :])]) for _ in range(r.randint(2, 3)))
        if kind < 0.5:
            return r.choice([f"8{self.format()}", f" {self.format()} ", r.choice(WRONG), "", "yyyy||", "88yyyy"])
        return self.format()

    def timezone(self) -> dict[str, Any]:
        r = self.random
        if r.random() < 0.45:
            return {}
        return {"timezone": r.choice(REFUSED_ZONES) if r.random() < 0.06 else r.choice(TIMEZONES)}

    def locale(self) -> dict[str, Any]:
        r = self.random
        if r.random() < 0.5:
            return {}
        return {"locale": r.choice(REFUSED_LOCALES) if r.random() < 0.04 else r.choice(LOCALES)}

    def written(self) -> tuple[dict[str, Any], Any]:
        """Options and a value: how a moment is written."""
        return {"formats": ["ISO8601"], "output_format": self.formats(), **self.timezone()}, self.moment()

    def read(self, pattern: str, text: str) -> tuple[dict[str, Any], Any]:
        """Options and a value: how a text is read that was once written by a pattern."""
        options = {"formats": [pattern], **self.timezone(), **self.locale()}
        if self.random.random() < 0.1:
            options["formats"] = [pattern, self.random.choice(["ISO8601", "yyyy", self.formats()])]
        if self.random.random() < 0.3:
            options["output_format"] = self.random.choice(
                ["strict_date_optional_time_nanos", "epoch_millis", "uuuu-MM-dd HH:mm:ss.SSSSSSSSS VV"]
            )
        text = self.translated(text, options.get("locale", "root"))
        return options, self.changed(text) if self.random.random() < 0.35 else text

    def number(self) -> tuple[dict[str, Any], Any]:
        """A number, or a text that may be one, for the formats of numbers."""
        r = self.random
        value: Any = r.choice(NUMBERS)
        if r.random() < 0.3:
            value = r.choice([1577934245, 1577934245.123, 1577934245123, -5, True, None, [1], {"a": 1}, 0.5, 1e10])
        return {"formats": [r.choice([*OWN, "epoch_second", "epoch_millis", "epoch_micros"])], **self.timezone()}, value

    def translated(self, text: str, locale: str) -> str:
        """The text with its names in another language, and at times an abbreviation of a zone."""
        by_locale, groups = texts()
        own = by_locale.get(locale.replace("-", "_")) or by_locale.get(re.split("[-_]", locale)[0])
        if own is None or locale == "root":
            return text
        for root, other in zip(by_locale["-"][:24], own[:24], strict=False):
            for old, new in zip(groups[root], groups[other], strict=True):
                if len(old) > 1 and old in text and self.random.random() < 0.9:
                    text = text.replace(old, new)
                    break
        if self.random.random() < 0.5:
            text = re.sub(r" [A-Z][A-Za-z/_]+$| GMT[+-]\d\d:\d\d$", f" {self.random.choice(ABBREVIATIONS)}", text)
        return text

    def changed(self, text: str) -> str:
        """The text with a small fault, or none."""
        r = self.random
        at = r.randrange(len(text)) if text else 0
        return r.choice(
            [
                text[:at] + text[at + 1 :],
                text[:at] + r.choice("0123456789") + text[at + 1 :],
                text[:at] + r.choice("0123456789+-: TZ.") + text[at:],
                text.lower(),
                text.upper(),
                f" {text}",
                text[:at],
                f"{text}Z",
                re.sub(r"\d+", "0", text, count=1),
                re.sub(
                    r"\d\d", lambda _: r.choice(["31", "24", "60", "29", "00", "13", "53"]), text, count=r.randint(1, 3)
                ),
                re.sub(r"0(\d)", r"\1", text),
                f"-{text}",
                f"+1{text}",
            ]
        )


def misleads(pattern: str) -> bool:
    """Whether a pattern reads the year of the week, but neither the week nor a year: the cluster takes the current one."""
    letters = re.sub(r"'[^']*'", "", pattern)
    return pattern not in names() and "Y" in letters and not re.search("[yuwg]", letters)


def refused(options: dict[str, Any]) -> bool:
    """Whether a pipeline of these formats is refused although the cluster takes it."""
    parts = [part for pattern in options["formats"] for part in pattern.removeprefix("8").split("||")]
    return bool(parts) and all(misleads(part.strip()) for part in parts)


def loses(options: dict[str, Any]) -> bool:
    """Whether one of several formats is left out although the cluster takes it."""
    return any(
        misleads(part.strip()) for pattern in options["formats"] for part in pattern.removeprefix("8").split("||")
    )
