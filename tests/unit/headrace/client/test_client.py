"""The clients: alike in both forms, and targets from files and the environment."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from headrace.client import asynchronous, blocking, errors
from headrace.client import target as targets
from headrace_pipelines.errors import InvalidError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["Pipelines", "Udfs", "Associations", "Client"])
def test_both_clients_have_the_same_methods(name: str):
    left = getattr(blocking, name)
    right = getattr(asynchronous, "AsyncClient" if name == "Client" else f"Async{name}")
    for method, function in inspect.getmembers(left, inspect.isfunction):
        if method.startswith("__") and method != "__init__":
            continue
        twin = getattr(right, method)
        if method != "__init__":
            streams = inspect.signature(function).return_annotation.startswith("Iterator")
            assert inspect.iscoroutinefunction(twin) is not streams, method
            # A stream is waited for line by line: the call itself does not wait.
            shown = str(inspect.signature(twin)).replace("AsyncIterator", "Iterator") if streams else None
            assert (shown or str(inspect.signature(twin))) == str(inspect.signature(function)), method
        assert function.__doc__ == twin.__doc__


TOML = """
[target.prod]
url = "https://search.example"
user = "${env:WHO}"
password_file = "secret"
ca = "ca.pem"
vars = {retention = "30d"}
[target.dev]
url = "http://127.0.0.1:9280"
"""


def test_a_target_of_the_nearest_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "headrace.toml").write_text(TOML)
    (tmp_path / "secret").write_text("hunter2\n")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    target = targets.load("prod", environment={"WHO": "alice"})
    assert (target.url, target.user, target.password) == ("https://search.example", "alice", "hunter2")
    assert target.ca == str(tmp_path / "ca.pem")
    assert target.vars == {"retention": "30d"}
    assert targets.load(environment={"HEADRACE_TARGET": "dev"}).url == "http://127.0.0.1:9280"
    assert targets.load("dev", "http://127.0.0.1:1", {}).url == "http://127.0.0.1:1"
    assert targets.load(environment={"HEADRACE_URL": "http://127.0.0.1:2"}).url == "http://127.0.0.1:2"
    assert targets.load(url="http://127.0.0.1:3", environment={"HEADRACE_TARGET": "prod"}).user == ""
    signed_in = {"WHO": "alice", "HEADRACE_PASSWORD": "of another", "HEADRACE_TOKEN": "t"}
    target = targets.load("prod", environment=signed_in)
    assert (target.password, target.token) == ("hunter2", "t"), "the target's own form beats the environment"
    assert targets.load(environment={"HEADRACE_ADMIN_TOKEN_FILE": str(tmp_path / "secret")}).admin_token == "hunter2"


@pytest.mark.parametrize(
    ("name", "url", "environment", "words"),
    [
        ("staging", "", {}, r"\[staging\] is not a target; those that exist: dev, prod"),
        ("prod", "", {}, "the environment variable WHO is not set"),
        ("dev", "ftp://x", {}, "is not an http:// or https:// URL"),
        ("dev", "http://me:s3cret@x:1", {}, "must not carry credentials"),
        ("prod", "", {"WHO": "a"}, "cannot read .*secret"),
    ],
)
def test_a_target_that_cannot_be(tmp_path: Path, monkeypatch, name: str, url: str, environment, words: str):
    (tmp_path / "headrace.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidError, match=words):
        targets.load(name, url, environment)


def test_an_answer_that_is_an_error():
    body = {"error": {"type": "t", "reason": "[f.g] is wrong", "field": "f.g"}, "status": 400}
    found = errors.error_of(400, body)
    assert (found.status, found.type, found.field, found.reason) == (400, "t", "f.g", "is wrong")
    assert errors.error_of(502, "gateway").reason == "gateway"
    assert errors.error_of(500, None).reason == "HTTP status 500"


@pytest.mark.parametrize(
    "url",
    ["http://a:hunter2@h", "ftp://a:hunter2@h", "a:hunter2@h", "http://a:hunter2@h/[", "http://a:hunter2@h\u2100"],
)
def test_credentials_in_an_address_are_not_in_errors(url: str):
    with pytest.raises(InvalidError) as caught:
        targets.load(url=url, environment={})
    assert "hunter2" not in str(caught.value)
    assert caught.value.field == "url"


@pytest.mark.parametrize("url", ["http://", "http://[", "https:/a", "a"])
def test_what_is_no_address(url: str):
    with pytest.raises(InvalidError, match="not an http:// or https:// URL"):
        targets.load(url=url, environment={})


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path):
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidError, match="not UTF-8"):
        targets.load(environment={"HEADRACE_TOKEN_FILE": str(tmp_path / "token")})
    with pytest.raises(InvalidError, match="not TOML"):
        targets.tables(tmp_path / "token")
