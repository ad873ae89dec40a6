"""`headrace udf`: a UDF from the template to the proxy."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from headrace.cli import main
from headrace.cli.errors import ExitCode
from tests.conftest import Http


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "file"), [("titles", "titles.py"), ("titles.js", "titles.js")])
def test_from_the_template_to_green_cases(folder: Path, capsys: pytest.CaptureFixture[str], name: str, file: str):
    assert main(["udf", "new", name]) == 0
    assert main(["udf", "check", file]) == 0
    assert main(["udf", "test", file]) == 0
    assert "2 passed, 0 failed" in capsys.readouterr().out
    assert main(["udf", "new", name]) == 1
    assert "exists already" in capsys.readouterr().err


def test_cases_that_fail_are_shown_and_can_be_updated(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "u.py").write_text(
        "def process(doc):\n"
        "    print('at', doc['n'])\n"
        "    if doc['n'] > 2: return False\n"
        "    return [doc, doc] if doc['n'] == 2 else {'n': 1 / doc['n']}\n"
    )
    cases = [{"name": str(n), "input": {"n": n}, "expected": {"n": 1}} for n in (1, 2, 3, 0)]
    cases.append({"name": "hit", "input": {"_id": "1", "n": 1}, "as": "hit", "expected": {"n": 1}})
    (folder / "u.cases.json").write_text(json.dumps(cases))
    assert main(["udf", "test", "u.py"]) == 1
    shown = capsys.readouterr().out
    assert "2 passed, 3 failed" in shown
    assert "| at 3" in shown
    assert main(["udf", "test", "u.py", "--update"]) == 0
    expected = [case["expected"] for case in json.loads((folder / "u.cases.json").read_text())]
    error = {"error": "ZeroDivisionError: division by zero (line 4)"}
    assert expected == [{"n": 1}, [{"n": 2}, {"n": 2}], {"filtered": True}, error, {"n": 1}]
    assert main(["udf", "test", "u.py"]) == 0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def process(doc:\n", "(line 1, column 12)"),
        ("x = 1\n", "defines no function"),
        ("# @udf: oops=1\n", "not known"),
    ],
)
def test_code_that_cannot_be(folder: Path, capsys: pytest.CaptureFixture[str], source: str, words: str):
    (folder / "u.py").write_text(source)
    assert main(["udf", "check", "u.py"]) == 1
    assert words in capsys.readouterr().err
    assert main(["udf", "check", "nowhere.py"]) == 1
    assert "nowhere.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ending", "code"), [("py", "def process(doc): return {'n': 5}\n"), ("js", "export default doc => ({n: 5})\n")]
)
async def test_it_is_uploaded(
    through: Http, folder: Path, name: str, capsys: pytest.CaptureFixture[str], ending: str, code: str
):
    (folder / f"{name}.{ending}").write_text(code)
    put = ["udf", "put", f"{name}.{ending}", "--url", through.base]
    assert await asyncio.to_thread(main, put) == 0
    assert capsys.readouterr().out.startswith(f"{name}@1  ")
    assert (await through.post(f"/_udf/{name}/_test", {"input": {}})).json["output"] == {"n": 5}
    refused = await asyncio.to_thread(main, [*put[:-1], "http://127.0.0.1:9"])
    assert refused == ExitCode.UNREACHABLE
    assert "cannot be reached" in capsys.readouterr().err
