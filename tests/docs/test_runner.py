"""The runner of the pages fails where a page is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import BlockError, parse
from tests.docs.page import Page, missing

ECHO = """```sh
echo '{"took": 3, "a": {"b": [1, {"c": 2}]}}'
```
"""
FAILED = """```sh
echo '{"error": {"type": "x"}, "status": 400}'
```
"""


def run(text: str, folder: Path, **addresses: str) -> Page:
    page = Page(folder, **addresses)
    page.run(parse(text, "page.md"))
    return page


def response(text: str) -> str:
    return f"```json response\n{text}\n```\n"


@pytest.mark.parametrize(
    "text",
    [
        ECHO,
        ECHO + response('{"a": {"b": [1, {}]}}'),
        ECHO + response('{"took": 99}'),
        FAILED + response('{"error": {}, "status": 400}'),
        "```sh\necho one two\n```\n```text output\ntwo\n```\n",
        "```python\nprint(6 * 7)\n```\n```text output\n42\n```\n",
        '```python file="a.py"\nprint(1)\n```\n```sh\npython a.py | grep 1\n```\n',
        "1. An item.\n\n   ```sh\n   cat <<E | grep '^x'\n   x\n   E\n   ```\n",
        '```sh no-run="needs a second host"\nfalse\n```\n',
        "```toml\na = 1\n```\n```yaml\na: 1\n```\n```ndjson\n{}\n[]\n```\n```text\n}\n```\n```mermaid\n}\n```\n",
    ],
)
def test_right_blocks(text: str, tmp_path: Path):
    run(text, tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ECHO + response('{"a": {"b": [1, {"c": 3}]}}'), r"page.md:4: \$.a.b\[1\].c is 2, not 3"),
        (ECHO + response('{"a": {"b": [1]}}'), r"\$.a.b has 2 elements, not 1"),
        (ECHO + response('{"d": 1}'), r"\$.d is missing"),
        (ECHO + response('{"took": "3"}') + response("{}"), "no block before it"),
        (response("{}"), "no block before it"),
        ('```sh no-run="long"\necho {}\n```\n' + response("{}"), "no block before it"),
        ("```sh\necho x\n```\n" + response("{}"), "the output is no JSON"),
        ("```sh\necho x\n```\n```text output\ny\n```\n", "is not in the output\nx"),
        ("```sh\nfalse\ntrue\n```\n", "page.md:1: ended with 1"),
        ("```sh\nfalse | true\n```\n", "ended with 1"),
        ("```python\nassert 0\n```\n", "AssertionError"),
        (FAILED, "a response is an error that the page does not show"),
        (FAILED + ECHO, "a response is an error"),
        ("```sh\necho '{\"error\": 1}{}'\n```\n" + response("{}"), "a response is an error"),
        ("```ruby\n1\n```\n", "page.md:1: no rule says what to do with a block 'ruby'"),
        ("```\n1\n```\n", "no rule says"),
        ("Text.\n\n    indented\n", "page.md:3: no rule says"),
        ("```json answer\n{}\n```\n", "unknown words"),
        ("```sh response\n1\n```\n", "unknown words"),
        ("```sh norun=x\nfalse\n```\n", "unknown words"),
        ("```sh no-run\nfalse\n```\n", "no-run needs a reason"),
        ('```sh no-run=" "\nfalse\n```\n', "no-run needs a reason"),
        ('```sh no-run="long"\nif\n```\n', "syntax error"),
        ('```sh file="x\nfalse\n```\n', "page.md:1: No closing quotation"),
        ("```js\n1\n```\n", "needs file="),
        ('```sh file="../x"\n1\n```\n', "without a folder"),
        ('```json file="x"\n{\n```\n', "is no json"),
        ("```json\n{\n```\n", "is no json"),
        ("```ndjson\n{}\n{\n```\n", "is no ndjson"),
        ("```toml\n=\n```\n", "is no toml"),
        ("```yaml\n{\n```\n", "is no yaml"),
        ("```python\n(\n```\n", "is no python"),
    ],
)
def test_wrong_blocks(text: str, problem: str, tmp_path: Path):
    with pytest.raises(BlockError, match=problem):
        run(text, tmp_path)


def test_addresses_are_those_of_the_run_in_blocks_and_of_the_page_in_outputs(tmp_path: Path):
    text = "```sh\necho localhost:9200 127.0.0.1:9200 http://127.0.0.1:9201/x node:9200 | tee seen\n```\n"
    shown = "```text output\n127.0.0.1:9200 127.0.0.1:9200 http://127.0.0.1:9201/x node:9200\n```\n"
    run(text + shown, tmp_path, proxy="127.0.0.1:7001", node="10.0.0.1:7002")
    assert (tmp_path / "seen").read_text() == "127.0.0.1:7001 127.0.0.1:7001 http://10.0.0.1:7002/x node:9200\n"


def test_settings_of_the_shell_do_not_reach_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HEADRACE_LISTEN", "127.0.0.1:1")
    run('```sh\ntest -z "$HEADRACE_LISTEN"\ncommand -v headrace\n```\n', tmp_path)


def test_types_and_truth_differ():
    assert missing({"a": True}, {"a": 1}) == "$.a is 1, not true"
    assert missing({"a": None}, {}) == "$.a is missing"
