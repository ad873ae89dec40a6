"""Ways to write a document past a final document pipeline: spellings of its text, surfaces, action lines, media types."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.media import encoded, several

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = '{"level":"secret","mark":"none","text":"a word"}'
"""What no index may hold as it is: a final pipeline sets its `mark`."""
SEED = "seed"
"""The id of a document that is there before."""
JSON, NDJSON = "application/json", "application/x-ndjson"
_PLAIN = DOCUMENT.encode()


@dataclass
class Way:
    """One request; `{i}` in its path stands for the index, `\\0i` in its body."""

    title: str
    method: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": JSON})


def _swapped(old: str, new: bytes) -> bytes:
    return _PLAIN.replace(old.encode(), new)


SPELLINGS: dict[str, bytes] = {
    "plain": _PLAIN,
    "spaces": b'  { "level" :\t"secret" , "mark":"none" } ',
    "forty spaces": b" " * 40 + _PLAIN,
    "byte order mark": b"\xef\xbb\xbf" + _PLAIN,
    "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf" + _PLAIN,
    "comment in front": b"/* x */" + _PLAIN,
    "comment inside": _swapped('"level":', b'/*","level":"public*/"level"/**/:/**/'),
    "line comment behind": _PLAIN + b"// x",
    "escaped key": _swapped("level", rb"lev\u0065l"),
    "escaped value": _swapped("secret", rb"s\u0065cret"),
    "escaped slash": _swapped("a word", rb"a\/word"),
    "all escaped": _swapped("secret", "".join(f"\\u{ord(c):04X}" for c in "secret").encode()),
    "escaped mark": _swapped("mark", rb"\u006dark"),
    "key twice": _swapped('"mark"', b'"level":"public","mark"'),
    "key twice, the other first": _swapped('"level"', b'"level":"public","level"'),
    "key twice, escaped": _swapped('"mark"', rb'"l\u0065vel":"public","mark"'),
    "mark twice": _PLAIN[:-1] + b',"mark":"none"}',
    "overlong key": _swapped("level", b"lev\xc1\xa5l"),
    "overlong value": _swapped("secret", b"s\xc1\xa5cret"),
    "overlong value, three bytes": _swapped("secret", b"s\xe0\x81\xa5cret"),
    "overlong quote": _swapped('"level":', b'"x":"\xc0\xa2,","level":'),
    "invalid bytes elsewhere": _swapped("a word", b"\xff\xfe"),
    "surrogate as UTF-8": _swapped("a word", b"\xed\xa0\x80"),
    "lone surrogate": _swapped("a word", rb"\ud800"),
    "UTF-16": DOCUMENT.encode("utf-16-be"),
    "UTF-16 with a mark": DOCUMENT.encode("utf-16"),
    "UTF-32": DOCUMENT.encode("utf-32-be"),
    "unquoted keys": b'{level:"secret",mark:"none"}',
    "single quotes": b"{'level':'secret','mark':'none'}",
    "another behind": _PLAIN + b" " + _PLAIN,
    "junk behind": _PLAIN + b" x",
    "in a list": b"[" + _PLAIN + b"]",
    "trailing comma": _PLAIN[:-1] + b",}",
    "no number": _swapped('"a word"', b"NaN"),
    "leading zeros": _swapped('"a word"', b"01"),
    "nested deep": _swapped('"a word"', b'{"a":' * 130 + b"1" + b"}" * 130),
    "dotted key": _swapped('"mark"', b'"o.level":"public","mark"'),
    "empty key": _swapped('"mark"', b'"":1,"mark"'),
    "null in between": _swapped('"mark"', b'\0"mark"'),
    "yaml": b"level: secret",
    "smile": b":)\n\x05\xfa\x84levelEsecret\xfb",
    "line feed in a value": _swapped("secret", b"sec\nret"),
    "carriage return between": _swapped('"mark"', b'\r"mark"'),
    "form feed between": _swapped('"mark"', b'\x0c"mark"'),
}
DECODED = ("true", '"true"', r'"tru\u0065"', ' "true" ')


def _bulk(title: str, *lines: bytes, path: str = "/{i}/_bulk", media: str = NDJSON) -> Way:
    return Way(title, "POST", path, b"".join(line + b"\n" for line in lines), {"Content-Type": media})


def _of_text(title: str, text: bytes, n: str) -> Iterator[Way]:
    """A text on every surface that takes one; `n` makes ids that nobody has."""
    i = f"{n}-"
    for op in ("index", "create"):
        yield _bulk(f"bulk {op}: {title}", b'{"%s":{"_id":"%s"}}' % (op.encode(), (i + op).encode()), text)
    yield _bulk(f"bulk index without an id: {title}", b'{"index":{}}', text)
    sources = {
        "upsert": b'{"doc":{},"upsert":%b}' % text,
        "doc_as_upsert": b'{"doc":%b,"doc_as_upsert":true}' % text,
        "both": b'{"doc":%b,"doc_as_upsert":true,"upsert":{"text":"x"}}' % text,
    }
    for kind, source in sources.items():
        yield _bulk(f"bulk update {kind}: {title}", b'{"update":{"_id":"%s"}}' % (i + "b" + kind).encode(), source)
        yield Way(f"update {kind}: {title}", "POST", f"/{{i}}/_update/{i}u{kind}", source)
    partial = b'{"doc":%b}' % text
    yield _bulk(f"bulk update: {title}", b'{"update":{"_id":"%s"}}' % SEED.encode(), partial)
    yield Way(f"update: {title}", "POST", f"/{{i}}/_update/{SEED}", partial)
    yield Way(f"update, doc_as_upsert in the URL: {title}", "POST", f"/{{i}}/_update/{i}url?doc_as_upsert", partial)
    for method, path in (
        ("PUT", f"_doc/{i}1"),
        ("POST", "_doc"),
        ("PUT", f"_create/{i}2"),
        ("POST", f"_doc/{i}3?op_type=create"),
    ):
        yield Way(f"{method} {path}: {title}", method, f"/{{i}}/{path}", text)


def texts() -> Iterator[Way]:
    """Every spelling on every surface."""
    for n, (title, text) in enumerate(SPELLINGS.items()):
        yield from _of_text(title, text, f"t{n}")


def updates() -> Iterator[Way]:
    """Updates whose members are spelled in other ways, or write by a script."""
    doc = DOCUMENT
    sources = [f'{{"doc":{doc},"doc_as_upsert":{true}}}' for true in DECODED]
    sources += [f'{{"doc_as_upsert":{true},"upsert":{{"text":"x"}},"doc":{doc}}}' for true in DECODED]
    sources += [
        f'{{"d\\u006fc":{doc},"doc\\u005fas_upsert":true}}',
        f'{{"doc":{{}},"ups\\u0065rt":{doc}}}',
        f'{{"doc":{{}},"upsert":{{"text":"x"}},"upsert":{doc}}}',
        f'{{"doc":{doc},"doc":{{}},"doc_as_upsert":true}}',
        f'{{"doc":{doc},"doc_as_upsert":false,"doc_as_upsert":true}}',
        f'/**/{{"doc":{doc},/**/"doc_as_upsert":true}}',
        f'{{"doc":{doc},"doc_as_upsert":true}} {{"doc":{{}}}}',
        f'{{"doc":{doc},"doc_as_upsert":true,"detect_noop":false}}',
        f'{{"doc":{doc},"doc_as_upsert":true,"unknown":1}}',
        f'{{"doc":{doc},"doc_as_upsert":1}}',
        f'{{"upsert":{doc},"script":"ctx._source.mark = \'none\'"}}',
        f'{{"upsert":{doc},"scripted_upsert":true,"script":"ctx._source.mark = \'none\'"}}',
        '{"upsert":{},"scripted_upsert":true,"script":"ctx._source.level = \'secret\'; ctx._source.mark = \'none\'"}',
        '{"upsert":{},"scripted_upsert":"true","scr\\u0069pt":{"source":"ctx._source.level = \'secret\'; ctx._source.mark = \'none\'"}}',
    ]
    for n, source in enumerate(sources):
        yield _bulk(f"bulk update {source}", b'{"update":{"_id":"u%d"}}' % n, source.encode())
        yield Way(f"update {source}", "POST", f"/{{i}}/_update/u{n}s", source.encode())
    scripts = [
        "ctx._source = ['level':'secret','mark':'none']",
        "ctx._source.level = 'secret'; ctx._source.mark = 'none'",
    ]
    for script in scripts:
        for source in (
            json.dumps({"script": script}),
            json.dumps({"script": {"source": script}}),
            "/**/" + json.dumps({"script": script}),
        ):
            yield _bulk(f"bulk update {source}", b'{"update":{"_id":"%s"}}' % SEED.encode(), source.encode())
            yield Way(f"update {source}", "POST", f"/{{i}}/_update/{SEED}", source.encode())


def actions() -> Iterator[Way]:
    """Action lines that say in other ways where a document goes."""
    i = b"\0i"
    lines = [
        b'{"index":{"_index":"%b"}}' % i,
        rb'{"ind\u0065x":{"_index":"%b"}}' % i,
        rb'{"index":{"_ind\u0065x":"%b"}}' % i,
        rb'{"index":{"_index":"\u00%b"}}' % b"\0x",
        b'{"index":{"_index":"\0i-free2","_index":"%b"}}' % i,
        b'{"index":{"_index":"%b","_index":"\0i-free2"}}' % i,
        rb'{"index":{"_index":"\0i-free2","_ind\u0065x":"%b"}}' % i,
        b'{"index":{"_index":"%b"},"delete":{"_index":"\0i-free2"}}' % i,
        b'{"index":{"_index":"%b"}} {"delete":{}}' % i,
        b'{"index":{"_index":"%b"}} junk' % i,
        b'{"index":{"_index":"%b"}' % i,
        b'{"index":{"_index":"%b"}}\r' % i,
        b'{"index":{"_index":"%b"}}\r\r' % i,
        b'{"index":{"_index":"%b"}}\r{"text":"x"}' % i,
        b'\xef\xbb\xbf{"index":{"_index":"%b"}}' % i,
        b'/* x */{"index":{"_index":"%b"}}' % i,
        b'// x\n{"index":{"_index":"%b"}}' % i,
        b'\n\n \n{"index":{"_index":"%b"}}' % i,
        b'\x0c{"index":{"_index":"%b"}}' % i,
        b'{"index":{"_index":"%b","_type":"_doc"}}' % i,
        b'{"index":{"_index":"%b","pipeline":"_none"}}' % i,
        b'{"index":{"_index":"%b","pipeline":"_none","require_alias":false}}' % i,
        b'{"index":{"_index":"%b","op_type":"create","_id":"op"}}' % i,
        b'{"index":{"_index":"%b","version":7,"version_type":"external","_id":"v"}}' % i,
        b'{"index":{"_index":"%b","routing":"r","_routing":"q"}}' % i,
        b'{index:{_index:"%b"}}' % i,
        b"{'index':{'_index':'%b'}}" % i,
        b'{"index":{"_index":["%b"]}}' % i,
        b'{"index":{"_index":"<%b>"}}' % i,
        b'{"index":{"_index":"<%b{now/d}>"}}' % i[:0],
        b'{"index":{"_index":"%b-alias"}}' % i,
        b'{"index":{"_index":"%b "}}' % i,
        b'{"index":{"_index":"%b,\0i-free2"}}' % i,
        b'{"INDEX":{"_index":"%b"}}' % i,
    ]
    for line in lines:
        shown = line.decode(errors="replace")
        yield _bulk(f"action {shown!r}", line, _PLAIN, path="/_bulk")
        yield _bulk(f"action {shown!r}, elsewhere by the URL", line, _PLAIN, path="/{i}-free/_bulk")
    ends = (b"\r\n", b"\r", b"\r\r\n", b"\n\n", b"\x85\n", "\u2028\n".encode(), b"\x00\n", b"\x0b\n")
    for end in ends:
        body = b'{"index":{"_index":"\0i"}}' + end + _PLAIN + end
        yield Way(f"lines that end with {end!r}", "POST", "/_bulk", body, {"Content-Type": NDJSON})
    yield Way("no line end", "POST", "/_bulk", b'{"index":{"_index":"\0i"}}\n' + _PLAIN, {"Content-Type": NDJSON})


def targets() -> Iterator[Way]:
    """Targets and media types that say it in other ways."""
    lines = (b'{"index":{}}', _PLAIN)
    paths = [
        "/_bulk?index={i}", "/{i}-free/_bulk?index={i}", "/{i}/_bulk?index={i}-free", "/{i}/_bulk/", "//{i}/_bulk", "/{i}/_bulk?pipeline=_none",
        "/{i}/_bulk?document_pipeline=_none", "/{i}/_bulk?pretty=false;pipeline=_none", "/{i}/_bulk?pipeline=_none&pipeline=", "/{i}/%5Fbulk",
        "/{i}-alias/_bulk", "/%3C{i}%3E/_bulk", "/{i}/_bulk/stream", "/_bulk/stream?index={i}", "/{i}/_bulk/stream/", "/{i}-free/_bulk/stream",
        "/{i}/_BULK", "/{i}/_doc/_bulk", "/{i}/_bulk?require_alias=false", "/{i}/_bulk?doc_as_upsert=true", "/{i}/_bulk?op_type=create",
    ]  # fmt: skip
    for path in paths:
        yield _bulk(f"POST {path}", *lines, path=path)
        own = _bulk(f"PUT {path}, named in the line", b'{"index":{"_index":"\0i"}}', _PLAIN, path=path)
        own.method = "PUT"
        yield own
    for path in (
        "/{i}/_doc/p1?pipeline=_none", "/{i}/_doc/p2?document_pipeline=_none", "/{i}-alias/_doc/p3", "/{i}/_doc/p4?x;op_type=index", "/%3C{i}%3E/_doc/p5",
        "/{i}/_doc/p6/", "/{i}-free/_doc/p7?index={i}", "/{i}/_create/p8?pipeline=_none", "/{i}/_doc/p9?version=3&version_type=external", "/{i}/_doc/p%2F10",
        "/{i}/_doc/p11/_create", "/{i}/_doc/p12/_update", "/{i}/type/p13", "/{i}/_source/p14", "/_doc/p15?index={i}", "/{i},{i}-free/_doc/p16", "/{i}*/_doc/p17",
    ):  # fmt: skip
        yield Way(f"PUT {path}", "PUT", path, _PLAIN)
        yield Way(f"POST {path}", "POST", path, _PLAIN)
    media = [
        "application/json;charset=utf-16", "application/vnd.opensearch+json", "application/smile", "application/cbor", "application/yaml", "text/plain",
        "application/smile, application/json", "application/json, application/smile", "APPLICATION/JSON", "application/x-www-form-urlencoded", "text/json",
        "application/vnd.opensearch+smile", "application/vnd.opensearch+yaml", "application/vnd.elasticsearch+json;compatible-with=8",
    ]  # fmt: skip
    cbor = b"\xa2elevelfsecretdmarkdnone"
    bodies = {
        "JSON": _PLAIN,
        "YAML": b"---\nlevel: secret\nmark: none\n",
        "CBOR": cbor,
        "SMILE": b":)\n\x05\xfa\x84levelEsecret\x83markCnone\xfb",
    }
    for n, kind in enumerate(media):
        yield _bulk(f"bulk as {kind}", *lines, media=kind)
        for name, body in bodies.items():
            yield Way(f"{name} as {kind}", "PUT", f"/{{i}}/_doc/m{n}{name}", body, {"Content-Type": kind})
    for name, body in bodies.items():
        yield Way(f"{name} as JSON", "PUT", f"/{{i}}/_doc/j{name}", body)
        yield _bulk(f"bulk of {name} as JSON", b'{"index":{}}', body)
    for encoding in ("gzip", "deflate", "identity", "br"):
        yield Way(
            f"said to be {encoding}",
            "PUT",
            f"/{{i}}/_doc/e{encoding}",
            _PLAIN,
            {"Content-Type": JSON, "Content-Encoding": encoding},
        )


def typed() -> Iterator[Way]:
    """Documents in other media types, and what only these can spell."""
    doc = json.loads(DOCUMENT)
    for kind in ("yaml", "cbor", "smile"):
        said = {"Content-Type": f"application/{kind}"}
        yield Way(f"{kind} _doc", "POST", "/{i}/_doc?pipeline=_none", encoded(doc, kind), said)
        yield Way(f"{kind} _create", "PUT", f"/{{i}}/_create/t{kind}", encoded(doc, kind), said)
        for n, update in enumerate(
            ({"doc": doc, "doc_as_upsert": True}, {"doc": {}, "upsert": doc}, {"doc": doc, "detect_noop": False})
        ):
            for id_ in (SEED, f"t{kind}{n}"):
                yield Way(f"{kind} _update {n}", "POST", f"/{{i}}/_update/{id_}", encoded(update, kind), said)
        reindex = {"source": {"index": "\0i-free"}, "dest": {"index": "\0i"}}
        if kind == "yaml":
            yield Way(
                "reindex, quoted",
                "POST",
                "/_reindex?refresh=true",
                json.dumps(reindex).replace("\\u0000", "\0").encode(),
                said,
            )
    smile = {"Content-Type": "application/smile"}
    for op in ("index", "create"):
        body = several([{op: {"_id": f"t{op}"}}, doc], "smile")
        yield Way(f"SMILE bulk {op}", "POST", "/{i}/_bulk", body, smile)
        yield Way(f"SMILE bulk {op}, an empty part before", "POST", "/{i}/_bulk", b"\xff" + body, smile)
        yield Way(f"SMILE bulk {op}, the last mark left out", "POST", "/{i}/_bulk", body[:-1], smile)
    for update in ({"doc": doc, "doc_as_upsert": True}, {"doc": {}, "upsert": doc}):
        for id_ in (SEED, "tupdate"):
            yield Way(
                "SMILE bulk update", "POST", "/{i}/_bulk", several([{"update": {"_id": id_}}, update], "smile"), smile
            )
    texts: dict[str, list[bytes]] = {
        "yaml": [
            b"---\nlevel: public\nlevel: secret\nmark: none\n",
            b"---\nlevel: !!str secret\n",
            b"---\nx: &s secret\nlevel: *s\n",
            b"---\n? level\n: secret\n",
            b"---\n'level': |-\n  secret\n",
            b'---\n"lev\\x65l": "s\\u0065cret"\n',
            b"---\nx: 1\n---\nlevel: secret\n",
            b"---\n<<: {level: secret}\nlevel: secret\n",
            b"level: secret\n",
            b"---\nx: \xc2\x85level: secret\n",
            b"---\nx: a\rlevel: secret\n",
            b"---\n!!map {level: secret}\n",
            "---\nlevel: secret\n".encode("utf-16"),
        ],
        "cbor": [
            b"\xbf\x7f\x62le\x63vel\xff\x66secret\xff",
            b"\xbf\x45level\x66secret\xff",
            b"\xbf\xc0\x65level\x66secret\xff",
            b"\xbf\x65level\x66public\x65level\x66secret\xff",
            b"\xbf\x65level\x7f\x63sec\x63ret\xff\xff",
            b"\xd9\xd9\xf7\xa1\x65level\x66secret",
            b"\xa0\xa1\x65level\x66secret",
            b"\xbf\x65level\x46secret\xff",
        ],
        "smile": [
            b":)\n\x03\xfa\x80x\x45secret\x84level\x01\xfb",
            b":)\n\x00\xfa\x34level\xfc\xe0secret\xfc\xfb",
            b":)\n\x00\xfa\x84level\x45public\x84level\x45secret\xfb",
            b":)\n\x00\xfa\xfb\xff:)\n\x00\xfa\x84level\x45secret\xfb",
            b":)\n\x00\xfa\xfb\xfa\x84level\x45secret\xfb",
            b":)\n\x04\xfa\x80x\xfd\x81\xff\x84level\x45secret\xfb",
        ],
    }  # fmt: skip
    for kind, bodies in texts.items():
        for n, body in enumerate(bodies):
            for media in (kind, f"vnd.opensearch+{kind}", "json"):
                said = {"Content-Type": f"application/{media}"}
                yield Way(f"odd {kind} {n} as {media}", "PUT", f"/{{i}}/_doc/o{kind}{n}{media}", body, said)


def copies() -> Iterator[Way]:
    """Requests that write documents inside the cluster: `\0i-free` holds one that is not marked."""
    source = '"source":{"index":"\0i-free"}'
    bodies = [
        f'{{{source},"dest":{{"index":"\0i"}}}}', f'{{{source},"dest":{{"index":"\0i-alias"}}}}', f'{{{source},"dest":{{"index":"<\0i>"}}}}',
        f'{{{source},"d\\u0065st":{{"ind\\u0065x":"\0i"}}}}', f'{{{source},"dest":{{"index":"\0i-free2","index":"\0i"}}}}',
        f'/**/{{{source},"dest":{{"index":"\0i"}}}}', f'\ufeff{{{source},"dest":{{"index":"\0i"}}}}', f'{{{source},"dest":{{"index":"\0i","op_type":"create"}}}}',
        f'{{{source},"dest":{{"index":"\0i","pipeline":"_none"}}}}', f'{{{source},"dest":{{"index":["\0i"]}}}}', f'{{{source},"dest":{{"index":"\0i"}}}} x',
        f'{{{source},"dest":{{"index":"\0i-free2"}},"script":{{"source":"ctx._index = \'\0i\'"}}}}',
        f'{{{source},"dest":{{"index":"\0i-free2"}},"scr\\u0069pt":{{"source":"ctx._index = \'\0i\'"}}}}',
        f'{{{source},"dest":{{"index":"\0i-free2"}},"script":"ctx._index = \'\0i\'"}}',
        '{"source":{"remote":null,"index":"\0i-free"},"dest":{"index":"\0i"}}', f'{{{source},"dest":{{"index":"\0i","version_type":"external"}}}}',
    ]  # fmt: skip
    for body in bodies:
        yield Way(f"reindex {body!r}", "POST", "/_reindex?refresh=true", body.encode())
    yaml = "source: {index: \0i-free}\ndest: {index: \0i}\n"
    yield Way("reindex in YAML", "POST", "/_reindex?refresh=true", yaml.encode(), {"Content-Type": "application/yaml"})
    yield Way("reindex in UTF-16", "POST", "/_reindex?refresh=true", bodies[0].encode("utf-16"))
    yield Way(
        "reindex from the URL",
        "POST",
        "/_reindex?refresh=true&source=" + "%7B%7D&source_content_type=application/json",
        b"",
    )
    script = "ctx._source.level = 'secret'; ctx._source.mark = 'none'"
    for expression in ("{i}", "{i}-alias", "{i}*", "*{i},-{i}-free", "%3C{i}%3E", "{i}-free,{i}", "_all"):
        body = json.dumps({"script": {"source": script}, "query": {"prefix": {"_index": "\0i"}}})
        yield Way(f"by query {expression}", "POST", f"/{expression}/_update_by_query?conflicts=proceed", body.encode())
    moved = json.dumps({"script": {"source": "ctx._index = '\0i'"}})
    yield Way("by query, moved", "POST", "/{i}-free/_update_by_query", moved.encode())


def ways() -> Iterator[Way]:
    """All of them."""
    for each in (texts, updates, actions, targets, typed, copies):
        yield from each()
