"""A UDF of one file and its cases: what cannot be read is told with its file and the reason."""

from __future__ import annotations

import hashlib
import json
import zipfile

import pytest

from headrace.project import udf_file
from headrace.project.tools import package
from headrace_pipelines.errors import InvalidError

CODE = b"def process(doc, params):\n    return doc\n"


@pytest.mark.parametrize(
    ("cases", "reason"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'[{"name": "\xff"}]', "is not UTF-8: invalid start byte at byte 11"),
        (b"{}", "must be a list of cases"),
        (b"[3]", "a case must be an object"),
        (b'[{"input": {}}, {"name": "x", "expected": {}}]', r"\[1\].*the case has no input"),
        (b'[{"input": {}, "as": "documents"}]', "there are document, query, result, hit"),
        (b'[{"input": {}, "parameters": []}]', "parameters must be an object"),
    ],
)
def test_cases_that_cannot_be_read_are_told(tmp_path, cases, reason):
    path = tmp_path / "u.cases.json"
    path.write_bytes(cases)
    with pytest.raises(InvalidError, match=reason) as caught:
        udf_file.read_cases(path)
    assert "u.cases.json" in str(caught.value)


def test_cases_have_letters_of_any_alphabet_whatever_the_locale(tmp_path):
    path = tmp_path / "u.cases.json"
    path.write_bytes('\ufeff[{"input": {"title": "日本"}}]'.encode())
    assert udf_file.read_cases(path) == [{"input": {"title": "日本"}}]


@pytest.mark.parametrize("name", ["u.py", "u.js", "u.wat"])
@pytest.mark.parametrize(
    "code", [b"# \xff", b"from headrace.udf import udf\n@udf()  # \xff\ndef process(d, p): return d\n"]
)
def test_code_that_is_not_utf_8_is_told(tmp_path, name, code):
    (tmp_path / name).write_bytes(code)
    with pytest.raises(InvalidError, match=f"{name} is not UTF-8"):
        udf_file.load(tmp_path / name)


@pytest.mark.parametrize(
    ("manifest", "code", "reason"),
    [
        ({"language": "python"}, CODE, "its manifest has no name"),
        ({"name": "u", "language": "python"}, b"# \xff", "the code in u.udf.zip is not UTF-8"),
        ({"name": "u"}, CODE, "."),
    ],
)
def test_a_package_that_was_made_by_something_else_is_told(tmp_path, manifest, code, reason):
    path = tmp_path / "u.udf.zip"
    with zipfile.ZipFile(path, "w") as archive:
        facts = {**manifest, "code": "u.py", "sha256": hashlib.sha256(code).hexdigest()}
        archive.writestr("manifest.json", json.dumps(facts))
        archive.writestr("u.py", code)
    with pytest.raises(InvalidError, match=reason):
        package.read(path)
