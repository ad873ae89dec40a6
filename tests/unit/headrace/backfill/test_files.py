"""Files by splits: each document once, in whichever part it begins; dead letters and reports as Parquet."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.backfill import JobSpec, WorkItem, files
from headrace.backfill.cluster.dead import letter
from headrace.backfill.spec import BackfillError, ItemResult, Sample
from headrace.protocol.indices.dead_letter_record import Fault
from headrace_pipelines import Bundle


def job(**changes: Any) -> JobSpec:
    return JobSpec(**{"job": "j", "source": "f", "target": "t", "pipeline": "p@1", "bundle": Bundle(()), **changes})


def texts(path: Path, parts: list[tuple[int, int]], **changes: Any) -> list[bytes]:
    items = [WorkItem(index=str(path), shard=0, low=low, high=high, file=True) for low, high in parts]
    return [hit.text for item in items for page in files.pages(job(**changes), item) for hit in page.hits]


@given(
    st.lists(st.integers(0, 10**6), max_size=30), st.lists(st.integers(1, 400), max_size=6), st.sampled_from("\n,\r\n")
)
def test_lines_come_once_however_a_file_is_split(tmp_path_factory, numbers: list[int], cuts: list[int], end: str):
    path = tmp_path_factory.mktemp("lines") / "a.ndjson"
    lines = [json.dumps({"n": n}).encode() for n in numbers]
    path.write_bytes((b"\r\n" if end == "\r" else b"\n").join(lines))
    size = path.stat().st_size
    edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
    assert texts(path, list(itertools.pairwise(edges))) == lines


def test_pages_of_lines_have_bounded_bytes(tmp_path: Path):
    path = tmp_path / "a.ndjson"
    path.write_text("".join(json.dumps({"n": n, "text": "x" * 1000}) + "\n\n" for n in range(100)))
    item = WorkItem(index=str(path), shard=0, low=0, high=path.stat().st_size, file=True)
    pages = list(files.pages(job(page_bytes=10_000), item))
    assert [len(page.hits) for page in pages] == [10] * 10
    assert len({hit.name for page in pages for hit in page.hits}) == 100
    named = next(files.pages(job(id_field="n"), item))
    assert [hit.name for hit in named.hits[:3]] == ["0", "1", "2"]


def test_rows_of_parquet_are_documents(tmp_path: Path):
    rows = [{"_id": f"i{n}", "_routing": None if n % 2 else "r", "n": n, "host": {"name": "web"}} for n in range(100)]
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=30)
    assert files.marks_of(str(tmp_path / "*.parquet")) == {str(path): {"0": 4}}
    parts = [(group, group + 1) for group in range(4)]
    assert [json.loads(text) for text in texts(path, parts, page_bytes=500)] == [
        {"n": n, "host": {"name": "web"}} for n in range(100)
    ]
    (page,) = files.pages(job(), WorkItem(index=str(path), shard=0, low=3, high=4, file=True))
    assert [(hit.name, bytes(hit.routing)) for hit in page.hits[:2]] == [("i90", b'"r"'), ("i91", b"")]


def test_a_column_of_json_texts_is_the_documents(tmp_path: Path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"_source": ['{"n":\n 1.50}', '{"n":2}']}), path)
    assert texts(path, [(0, 1)]) == [b'{"n":1.50}', b'{"n":2}']


def test_equal_documents_are_documents_of_their_own(tmp_path: Path):
    """Their ids say where they are, however the file is split: a second run finds them done."""
    lines = tmp_path / "a.ndjson"
    lines.write_text('{"n": 1}\n' * 50)
    table = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"n": [1] * 50}), table, row_group_size=20)

    def ids(path: Path, *edges: int) -> list[str]:
        items = [
            WorkItem(index=str(path), shard=0, low=low, high=high, file=True) for low, high in itertools.pairwise(edges)
        ]
        return [hit.name for item in items for page in files.pages(job(), item) for hit in page.hits]

    for path, edges in ((lines, (0, lines.stat().st_size)), (table, (0, 3))):
        whole = ids(path, *edges)
        assert len(set(whole)) == 50
        assert ids(path, edges[0], 1, 2, edges[1]) == whole
    assert not set(ids(lines, 0, lines.stat().st_size)) & set(ids(table, 0, 3))


def test_files_that_cannot_be_read_are_an_error(tmp_path: Path):
    with pytest.raises(BackfillError, match="there are no files"):
        files.marks_of(str(tmp_path / "*.ndjson"))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"no parquet at all")
    with pytest.raises(BackfillError, match=r"\[.*broken.parquet\] cannot be read as Parquet"):
        files.marks_of(str(broken))
    pyarrow.parquet.write_table(pyarrow.table({"_source": ["{}"] * 5000}), broken)
    whole = bytearray(broken.read_bytes())
    whole[4:40] = b"\0" * 36
    broken.write_bytes(whole)
    with pytest.raises(BackfillError, match="cannot be read as Parquet"):
        texts(broken, [(0, 1)])
    # The names of some of these types have those of texts in them.
    for values, kind in (([1], "int64"), ([{"n": "1"}], "struct<n: string>"), ([["{}"]], "list<.*: string>")):
        pyarrow.parquet.write_table(pyarrow.table({"_source": values}), broken)
        with pytest.raises(BackfillError, match=f"has {kind}, not JSON texts"):
            texts(broken, [(0, 1)])
    for kind in (pyarrow.large_string(), pyarrow.binary(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())):
        pyarrow.parquet.write_table(pyarrow.table({"_source": pyarrow.array(['{"n":1}'], kind)}), broken)
        assert len(texts(broken, [(0, 1)])) == 1
    (tmp_path / "spark.parquet").mkdir()
    with pytest.raises(BackfillError, match=r"is a folder: name its files, such as \[.*spark.parquet/\*.parquet\]"):
        files.marks_of(f"{tmp_path}/spark.parquet/")


FAR = pyarrow.array([2**60], pyarrow.timestamp("us"))
"""A time that Python has no form for, as columns of other systems have it."""
GOOD = pyarrow.array([1], pyarrow.timestamp("us"))
SOURCES = {'{"n":1}': "", '{"n":\n2}': "", None: "there is no _source", '{"n":\n': "", '{"n": "a\nb"}': ""}
IDS = {"a": "", "é" * 256: "", "": "the id is empty", "x" * 513: "has 513 bytes", "é" * 257: "has 514 bytes"}


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(SOURCES)), st.sampled_from(list(IDS))), min_size=1, max_size=12))
def test_a_row_that_is_no_document_stands_alone(tmp_path_factory, rows: list[tuple[str | None, str]]):
    path = tmp_path_factory.mktemp("rows") / "a.parquet"
    table = pyarrow.table({"_source": [source for source, _ in rows], "_id": [id_ for _, id_ in rows]})
    pyarrow.parquet.write_table(table, path, row_group_size=5)
    item = WorkItem(index=str(path), shard=0, low=0, high=3, file=True)
    good, broken = [], {}
    for page in files.pages(job(), msgspec.structs.replace(item, high=-(-len(rows) // 5))):
        good += [(json.loads(hit.text), hit.name) for hit in page.hits]
        broken |= {reason: hit for hit, reason in page.broken}
    wrong = {n for n, (source, id_) in enumerate(rows) if IDS[id_] or source is None or not parsed(source)}
    assert good == [(json.loads(rows[n][0]), rows[n][1]) for n in range(len(rows)) if n not in wrong]
    assert {int(reason.split()[1]) for reason in broken} == wrong
    for reason, hit in broken.items():
        source, id_ = rows[int(reason.split()[1])]
        assert IDS[id_] in reason or (source is None and SOURCES[None] in reason) or not parsed(source)
        assert hit.text.decode() == source or source is None or parsed(source)


def parsed(text: str | None) -> bool:
    try:
        json.loads(text or "")
    except ValueError:
        return False
    return True


def test_values_without_a_form_in_json_are_of_their_rows(tmp_path: Path):
    path = tmp_path / "a.parquet"
    at = pyarrow.chunked_array([GOOD, FAR, GOOD])
    pyarrow.parquet.write_table(pyarrow.table({"at": at, "n": [1, 2, 3]}), path)
    (page,) = files.pages(job(), WorkItem(index=str(path), shard=0, low=0, high=1, file=True))
    assert [json.loads(hit.text)["n"] for hit in page.hits] == [1, 3]
    ((hit, reason),) = page.broken
    assert f"row 1 of [{path}]" in reason
    assert json.loads(hit.text)["n"] == "2"
    # Ids are those of a file without such a row.
    whole = tmp_path / "b.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"at": pyarrow.chunked_array([GOOD] * 3), "n": [1, 2, 3]}), whole)
    (other,) = files.pages(job(), WorkItem(index=str(whole), shard=0, low=0, high=1, file=True))
    assert [hit.text for hit in other.hits][::2] == [hit.text for hit in page.hits]


def test_a_source_has_one_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.parquet").touch()
    wanted = str(tmp_path / "data.parquet")
    for spelled in ("data.parquet", "./data.parquet", "data.parquet/", "a/../data.parquet", wanted, f"{wanted}//"):
        assert files.normal(spelled) == wanted
    assert files.normal("logs-1,logs-2") == "logs-1,logs-2"
    assert files.normal_folder("dead/") == files.normal_folder("./dead//") == f"{tmp_path}/dead/"
    (tmp_path / "link").symlink_to(tmp_path)
    assert files.real(f"{tmp_path}/link/data.parquet") == wanted


def test_what_could_not_be_written_in_the_end_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files.check_files("logs", f"{tmp_path}/r.parquet", f"{tmp_path}/dead/")
    with pytest.raises(BackfillError, match="no folder for"):
        files.check_files("logs", f"{tmp_path}/none/r.json", "dead")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    files.check_files("logs", f"{tmp_path}/r.json", "dead")
    for given_, field in (
        (("a.parquet", "", ""), "source"),
        (("logs", "r.parquet", ""), "report"),
        (("logs", "", "dead/"), "dead_letters"),
    ):
        with pytest.raises(BackfillError, match=r"pip install headrace\[parquet\]") as raised:
            files.check_files(*given_)
        assert raised.value.field == field


def test_dead_letters_as_parquet_are_those_of_the_last_run(tmp_path: Path):
    item = WorkItem(index="s", shard=0, low=0, high=10)
    hit = next(iter(files.pages(job(id_field="n"), lined(tmp_path)))).hits[0]
    dead = letter(job(), hit, Fault("pipeline", 400, "t", "field [a.b] no", "p@1", "s"))
    for _ in range(2):
        kept = files.DeadLetterFiles(f"{tmp_path}/dead/", job(), item)
        kept.keep([dead])
        kept.keep([])
        kept.keep([dead])
    found = pyarrow.parquet.read_table(tmp_path / "dead").to_pylist()
    assert len(found) == 2
    assert found[0]["original"] == '{"n": 7}'
    assert (found[0]["error.field"], found[0]["pipeline"], found[0]["id"]) == ("a.b", "p", "7")


def lined(tmp_path: Path) -> WorkItem:
    path = tmp_path / "one.ndjson"
    path.write_text('{"n": 7}\n')
    return WorkItem(index=str(path), shard=0, low=0, high=path.stat().st_size, file=True)


def test_a_report_has_a_row_for_each_fact(tmp_path: Path):
    result = ItemResult(paths={"~ a": 2}, reasons={"t: no": 1}, samples=[Sample("1", "changed", "{}", '{"a":1}')])
    files.write_report(str(tmp_path / "r.parquet"), result)
    rows = pyarrow.parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert {(row["kind"], row["name"]) for row in rows} >= {("path", "~ a"), ("reason", "t: no"), ("count", "read")}
    files.write_report(str(tmp_path / "r.json"), result)
    assert json.loads((tmp_path / "r.json").read_text())["paths"] == {"~ a": 2}
