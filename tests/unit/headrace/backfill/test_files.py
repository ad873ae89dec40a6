"""Files by splits: each document once, in whichever part it begins; dead letters and reports as Parquet."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
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
    pyarrow.parquet.write_table(pyarrow.table({"_source": ["{}", None]}), broken)
    with pytest.raises(BackfillError, match="a row has no _source"):
        texts(broken, [(0, 1)])


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
