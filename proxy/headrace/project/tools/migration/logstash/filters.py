"""Filters of Logstash that a built-in does with the same meaning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from headrace.project.tools.migration.logstash.conditions import path
from headrace.project.tools.migration.logstash.mutate import common, converted, operations
from headrace.project.tools.migration.logstash.options import Options, dotted
from headrace.project.tools.migration.logstash.parser import reference
from headrace.project.tools.migration.model import CANNOT, Item, Stage, Unsupported, composite, native, nothing

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.project.tools.migration.logstash.parser import Plugin

Notes = list[str]
_MOST_PATTERNS = 6
"""Maximum of patterns of a grok that are tried in turn: each is the failure handler of the one before."""
_CAPTURING = re.compile(r"%\{\w*(APACHE|HTTPD|SYSLOGBASE|SYSLOGLINE|HAPROXY|NAGIOS|NGINX|S3_|ELB_|CATALINA)\w*[:}]")
_TYPES = {"int": "long", "float": "double"}
_JODA = re.compile(r"'[^']*'|[A-Za-z]+|[^A-Za-z']+")
_SAME_LETTERS = frozenset("yMdHhmsSakK")


def convert(plugin: Plugin) -> tuple[list[Item], Notes]:
    """The stages of a filter, and what differs. Raises Unsupported with the reason and its line."""
    if plugin.name not in _FILTERS:
        raise Unsupported(*_WITHOUT.get(plugin.name, (f"there is no built-in for [{plugin.name}]", CANNOT)))
    options, notes = Options(plugin), list[str]()
    stages = _FILTERS[plugin.name](options, notes)
    options.finish()
    return [*stages], notes


def _whole(
    name: str, stages: list[Stage], options: Options, notes: Notes, *, tags: list[str], source: str
) -> list[Stage]:
    """Stages that succeed or fail together; `source`: the field without which the filter does nothing."""
    stages = [*stages, *common(options, notes)]
    condition = {"if": f"{path(reference(source))} != null"} if source else {}
    handler: str | list[Stage] = "continue" if len(stages) == 1 else [nothing()]
    if tags:
        handler = [native("append", f"{name}-failure", field="tags", value=tags, allow_duplicates=False)]
    stage = stages[0] if len(stages) == 1 else composite(name, [*stages])
    return [_ordered(stage, condition, handler)]


def _ordered(stage: Stage, condition: dict[str, str], handler: str | list[Stage]) -> Stage:
    head = {"name": stage["name"], "type": stage["type"], **condition}
    return {**head, "config": stage["config"], "on_failure": stage.get("on_failure", handler)}


def _source(options: Options, name: str = "source", default: str = "message") -> tuple[str, str]:
    """The text of a field option and its dotted path."""
    text = options.text(name, default)
    if not text:
        raise Unsupported(f"the option [{name}] is missing")
    return text, dotted(text)


def _mutate(options: Options, notes: Notes) -> list[Stage]:
    tag = options.text("tag_on_failure", "_mutate_error")
    if tag != "_mutate_error":
        notes.append("a failed operation leaves its field alone and adds no tag")
    return [*operations(options, notes), *common(options, notes)]


def _grok(options: Options, notes: Notes) -> list[Stage]:
    pairs = options.pairs("match")
    if len(pairs) != 1:
        raise Unsupported("grok must match one field: write a grok for each")
    source, patterns = pairs[0][0], pairs[0][1] if isinstance(pairs[0][1], list) else [pairs[0][1]]
    if not patterns or any(not isinstance(pattern, str) for pattern in patterns):
        raise Unsupported("the patterns of grok must be texts")
    if not options.flag("break_on_match", default=True) or not options.flag("named_captures_only", default=True):
        raise Unsupported("grok keeps named captures of the first match only")
    if options.flag("keep_empty_captures", default=False):
        raise Unsupported("the option [keep_empty_captures] has no counterpart")
    if options.text("ecs_compatibility", "v8") != "disabled" and any(map(_CAPTURING.search, patterns)):
        notes.append("a pattern of the bank names its fields as with ecs_compatibility disabled (clientip, verb, …)")
    overwrite = [dotted(each) for each in options.texts("overwrite")]
    patterns = [_named(pattern) for pattern in patterns]
    if dotted(source) not in overwrite and any(re.search(rf":{re.escape(dotted(source))}[:}}]", p) for p in patterns):
        raise Unsupported(f"a capture named [{source}] without overwrite makes a list in Logstash")
    definitions = dict(options.pairs("pattern_definitions"))
    more = {"pattern_definitions": definitions} if definitions else {}
    tags = options.texts("tag_on_failure", ("_grokparsefailure",))
    stage = _in_turn(dotted(source), patterns, more)
    return _whole("grok", [stage], options, notes, tags=tags, source="")


def _in_turn(field: str, patterns: list[str], more: dict[str, Any]) -> Stage:
    """A grok whose first pattern that matches counts."""
    if len(patterns) == 1 or all(pattern.startswith("^") and "|" not in pattern for pattern in patterns):
        return native("grok", field=field, patterns=patterns, **more)
    if len(patterns) > _MOST_PATTERNS:
        raise Unsupported(f"grok tries more than {_MOST_PATTERNS} patterns in turn; begin them all with ^")
    last = native("grok", field=field, patterns=patterns[-1:], **more)
    for pattern in reversed(patterns[:-1]):
        last = {**native("grok", field=field, patterns=[pattern], **more), "on_failure": [last]}
    return composite("grok", [last])


def _named(pattern: str) -> str:
    """The names and types of captures in the words of the built-in."""
    if "(?<[" in pattern:
        raise Unsupported("a group is named by a reference: use %{DATA:name}")

    def replaced(found: re.Match[str]) -> str:
        name, _, kind = found[2].partition(":")
        if kind and kind not in _TYPES:
            raise Unsupported(f"the type [{kind}] of a capture has no counterpart")
        return f"%{{{found[1]}:{dotted(name)}{':' + _TYPES[kind] if kind else ''}}}"

    return re.sub(r"%\{(\w+):([^}]+)\}", replaced, pattern)


def _date(options: Options, notes: Notes) -> list[Stage]:
    values = options.texts("match")
    if len(values) < 2:
        raise Unsupported("date must have a field and a format")
    formats = [_format(each) for each in values[1:]]
    zone = options.text("timezone")
    if zone and any(re.search("[XxZV]", each) and each not in ("ISO8601", "TAI64N") for each in formats):
        raise Unsupported("a timezone beside a format with an offset: here the timezone counts")
    if not zone and not all(re.search("[XxZV]|UNIX|TAI", each) for each in formats):
        notes.append("a date without an offset is UTC; Logstash reads it in the zone of its host")
    parameters: dict[str, Any] = {"field": dotted(values[0]), "formats": formats[::-1]}
    target = options.field("target", "@timestamp")
    parameters |= {"target_field": target} if target != "@timestamp" else {}
    parameters |= {"timezone": zone} if zone else {}
    if locale := options.text("locale"):
        parameters["locale"] = locale
    tags = options.texts("tag_on_failure", ("_dateparsefailure",))
    return _whole("date", [native("date", **parameters)], options, notes, tags=tags, source=values[0])


def _format(text: str) -> str:
    """A pattern of Joda as one of Java's DateTimeFormatter. The built-in prefers the last format that fits."""
    if text in ("ISO8601", "UNIX", "UNIX_MS", "TAI64N"):
        return text
    parts = _JODA.findall(text)
    if "".join(parts) != text or "||" in text or "[" in text or "{" in text or "#" in text:
        raise Unsupported(f"the format [{text}] has no counterpart")
    return "".join(_letters(part) for part in parts)


def _letters(part: str) -> str:
    if not part[0].isalpha():
        return part
    result = ""
    for run in re.finditer(r"(.)\1*", part):
        letters = run[0]
        if letters in ("Z", "ZZ", "ZZZ"):
            result += {"Z": "Z", "ZZ": "XXX", "ZZZ": "VV"}[letters]
        elif letters[0] == "Y":
            result += letters.lower()
        elif letters[0] == "E":
            result += "EEE" if len(letters) < 4 else "EEEE"
        elif letters[0] in _SAME_LETTERS:
            result += letters
        else:
            raise Unsupported(f"the letters [{letters}] of a format have another meaning")
    return result


def _json(options: Options, notes: Notes) -> list[Stage]:
    source, field = _source(options, default="")
    target = options.field("target")
    tags = options.texts("tag_on_failure", ("_jsonparsefailure",))
    tags = [] if options.flag("skip_on_invalid_json", default=False) else tags
    if not target and "." in field:
        raise Unsupported("json without a target reads a field of the document itself")
    where = {"target_field": target} if target else {"add_to_root": True}
    return _whole("json", [native("json", field=field, **where)], options, notes, tags=tags, source=source)


def _kv(options: Options, notes: Notes) -> list[Stage]:
    source, field = _source(options)
    parameters: dict[str, Any] = {"field": field}
    parameters["field_split"] = options.raw("field_split_pattern") or _any_of(options.text("field_split", " "), "+")
    parameters["value_split"] = options.raw("value_split_pattern") or _any_of(options.text("value_split", "="), "")
    if prefix := options.text("prefix"):
        parameters["prefix"] = prefix
    for name in ("include_keys", "exclude_keys"):
        if keys := options.texts(name):
            parameters[name] = keys
    if target := options.field("target"):
        parameters["target_field"] = target
    if options.flag("include_brackets", default=True):
        parameters["strip_brackets"] = True
    notes.append("a quoted value that contains field_split is split, and a part without value_split fails the text")
    tags = options.texts("tag_on_failure", ("_kv_filter_error",))
    return _whole("kv", [native("kv", **parameters)], options, notes, tags=tags, source=source)


def _any_of(characters: str, times: str) -> str:
    """A regular expression of Java for any of these characters."""
    if not characters or "\\" in characters:
        raise Unsupported("the characters of a split must be written without a backslash")
    escaped = re.sub(r"([\[\]^&-])", r"\\\1", characters)
    return f"[{escaped}]{times}"


def _csv(options: Options, notes: Notes) -> list[Stage]:
    source, field = _source(options)
    columns = options.texts("columns")
    if not columns:
        raise Unsupported("csv without columns reads them from the first line")
    separator, quote = options.text("separator", ","), options.text("quote_char", '"')
    if len(separator) != 1 or len(quote) != 1:
        raise Unsupported("separator and quote_char must be one character")
    if options.flag("autogenerate_column_names", default=True):
        notes.append("values behind the last column are left out; Logstash names them column4, …")
    target = options.field("target")
    names = [f"{target}.{dotted(each)}" if target else dotted(each) for each in columns]
    stages = [native("csv", field=field, target_fields=names, separator=separator, quote=quote)]
    for column, kind in options.pairs("convert"):
        stages.append(converted(f"{target}.{column}" if target else dotted(column), kind, notes))
    return _whole("csv", stages, options, notes, tags=["_csvparsefailure"], source=source)


def _dissect(options: Options, notes: Notes) -> list[Stage]:
    pairs = options.pairs("mapping")
    if len(pairs) != 1 or not isinstance(pairs[0][1], str):
        raise Unsupported("dissect must map one field: write a dissect for each")
    source, pattern = pairs[0]
    if re.search(r"%\{[+&*]", pattern):
        raise Unsupported("keys with +, & or * have another meaning: write the pattern by hand")
    pattern = re.sub(r"%\{(\[[^}]*\])((?:->)?)\}", lambda found: f"%{{{dotted(found[1])}{found[2]}}}", pattern)
    stages = [native("dissect", field=dotted(source), pattern=pattern)]
    for field, kind in options.pairs("convert_datatype"):
        stages.append(converted(dotted(field), {"int": "integer"}.get(kind, kind), notes))
    tags = options.texts("tag_on_failure", ("_dissectfailure",))
    return _whole("dissect", stages, options, notes, tags=tags, source=source)


def _drop(_options: Options, _notes: Notes) -> list[Stage]:
    return [native("drop")]


def _urldecode(options: Options, notes: Notes) -> list[Stage]:
    source, field = _source(options, "field")
    if options.flag("all_fields", default=False) or options.text("charset", "UTF-8") != "UTF-8":
        raise Unsupported("urldecode reads one field in UTF-8")
    tags = options.texts("tag_on_failure", ("_urldecodefailure",))
    return _whole("urldecode", [native("urldecode", field=field)], options, notes, tags=tags, source=source)


def _useragent(options: Options, notes: Notes) -> list[Stage]:
    source, field = _source(options, default="")
    if options.text("ecs_compatibility", "v8") == "disabled":
        raise Unsupported("the fields of ecs_compatibility disabled differ from those of the built-in")
    options.raw("lru_cache_size")
    target = options.field("target", "user_agent")
    stage = native("user_agent", field=field, target_field=target)
    return _whole("user_agent", [stage], options, notes, tags=[], source=source)


_FILTERS: dict[str, Callable[[Options, Notes], list[Stage]]] = {
    "mutate": _mutate,
    "grok": _grok,
    "date": _date,
    "json": _json,
    "kv": _kv,
    "csv": _csv,
    "dissect": _dissect,
    "drop": _drop,
    "urldecode": _urldecode,
    "useragent": _useragent,
}
_WITHOUT = {
    "ruby": ("the code is Ruby: write a UDF", "by hand"),
    "translate": ("write a UDF with the dictionary in its packages or parameters", "by hand"),
    "geoip": ("write a UDF with the database in its packages", "by hand"),
    "fingerprint": ("the built-in of this name hashes another text: the values differ", CANNOT),
    "aggregate": ("a document is worked on alone: there is no state between documents", CANNOT),
    "throttle": ("a document is worked on alone: there is no state between documents", CANNOT),
    "clone": ("write a UDF that returns a list of documents", "by hand"),
    "split": ("write a UDF that returns a list of documents", "by hand"),
}
"""Filters without a built-in: the reason, and whether a person can write a replacement."""
