"""Every setting has one text; every error of a setting names its source, and the nearest name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.settings import Settings, Sources, documented, restart_needed, schema
from headrace_pipelines.errors import InvalidError
from tests.conftest import ROOT

PAGE = (ROOT / "docs/reference/settings.md").read_text()


def sections() -> dict[str, tuple[str, str]]:
    """Headings of the page: the group that they are in, and the text below them on one line."""
    found, group = {}, ""
    for part in re.split(r"^(?=##+ )", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        if heading.startswith("## "):
            group = heading.removeprefix("## ")
        else:
            found[heading.removeprefix("### ")] = (group, " ".join(text.split()))
    return found


def test_the_page_has_the_text_group_and_default_of_every_setting():
    page = sections()
    assert list(page) != []
    for doc in documented():
        group, text = page[doc.name]
        assert group == doc.group, doc.name
        assert text.startswith(doc.summary), doc.name
        default = re.search(r"Default: (.+?)\.(?: |$)", text)
        assert default is not None, doc.name
        assert default[1] in (
            f"`{doc.default}`",
            "empty" if not doc.default else "",
            "`headrace/state` in the cache folder of the user",
        ), doc.name
    assert set(page) == {doc.name for doc in documented()}


def test_the_page_lists_what_needs_a_restart():
    paragraph = PAGE.partition("These settings need a restart:")[2].partition(".\n")[0]
    assert set(re.findall(r"`(\w+)`", paragraph)) == restart_needed()


def test_every_setting_is_described_once():
    docs = documented()
    assert [doc.name for doc in docs] == list(Settings.__struct_fields__)
    assert len({doc.summary for doc in docs}) == len(docs)
    assert all(doc.summary.endswith(".") and doc.summary.count(". ") <= 2 for doc in docs)
    by_name = {doc.name: doc for doc in docs}
    assert by_name["admin_token"].file_option == "admin_token_file"
    assert by_name["conflict"].values == ("error", "warn")
    assert (by_name["queue"].kind, by_name["upstream_verify"].kind, by_name["upstream_verify"].default) == (
        "count",
        "switch",
        "true",
    )


def test_the_schema_describes_what_a_file_may_have():
    properties = schema()["properties"]
    assert set(Settings.__struct_fields__) | {"admin_token_file", "target"} <= set(properties)
    assert properties["queue"] == {
        "type": "integer",
        "default": 256,
        "description": next(doc.summary for doc in documented() if doc.name == "queue"),
        "x-group": "Process",
        "x-reload": True,
    }
    assert schema()["additionalProperties"] is False
    msgspec.json.encode(schema())


def refused(sources: Sources) -> str:
    with pytest.raises(InvalidError) as caught:
        sources.load()
    return caught.value.reason


def in_file(tmp_path: Path, text: str, environment: dict[str, str] | None = None, **options: Any) -> Sources:
    file = tmp_path / "headrace.toml"
    file.write_text(text)
    return Sources(file, environment or {}, options)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            'listen = "127.0.0.1:1"\n\nupstrem = "http://h:1"\n',
            3,
            "unknown setting [upstrem]: did you mean [upstream]?",
        ),
        ('upstrem = "x"', 1, "Settings: upstream, listen, advertise"),
        ('"quue" = 1', 1, "did you mean [queue]?"),
        ("# queue\n  queue = 'many'", 2, "[queue] must be a whole number, not [many]"),
        ("upstream_verify = 'perhaps'", 1, "[upstream_verify] must be true or false, not [perhaps]"),
        ("\nlisten = 5", 2, "[listen] must be a text, not [5]"),
        ("\n\nconflict = 'warm'", 3, "[conflict] [warm] is not one of error, warn; did you mean [warn]?"),
        ("log_level = 'loud'", 1, "[log_level] [loud] is not one of debug, error, info, warning"),
        ("\nlisten = 'nowhere'", 2, "[listen] [nowhere] is not host:port"),
        ("udf_timeout = '5'", 1, "[udf_timeout] failed to parse [5]"),
        ("drain_delay = '-1s'", 1, "[drain_delay] failed to parse"),
        ("[sever]\nx = 1", 1, "unknown setting [sever]"),
    ],
)
def test_an_error_in_the_file_names_line_and_setting(tmp_path: Path, text: str, line: int, words: str):
    reason = refused(in_file(tmp_path, text))
    assert words in reason
    assert f"headrace.toml:{line}" in reason
    assert "$" not in reason


def test_an_error_elsewhere_names_variable_or_option(tmp_path: Path):
    assert refused(in_file(tmp_path, "", {"HEADRACE_QUEUE": "many"})).endswith("(set by HEADRACE_QUEUE)")
    assert refused(in_file(tmp_path, "queue = 5", {"HEADRACE_QUEUE": "6"}, queue="x")).endswith("(set by --queue)")
    assert "--upstrem: unknown setting [upstrem]: did you mean" in refused(in_file(tmp_path, "", upstrem="x"))


def test_secrets_are_in_no_error(tmp_path: Path):
    for text in ("admin_token = 12345678", "registry_secret = ['12345678']"):
        assert "12345678" not in refused(in_file(tmp_path, text))


def test_variables_that_are_no_settings_are_warnings(tmp_path: Path):
    environment = {
        "HEADRACE_QEUE": "1",
        "HEADRACE_TARGET": "dev",
        "HEADRACE_URL": "http://h",
        "HEADRACE_WORKER_NUMBER": "1",
        "HEADRACE_SECRET_KEY": "x",
        "HEADRACE_ADMIN_TOKEN": "t",
        "HEADRACE_XYZW": "1",
        "HEADRACE": "1",
        "OTHER": "x",
    }
    loaded = in_file(tmp_path, "[target.dev]\nurl = 'http://h'", environment).load()
    assert loaded.settings.admin_token == "t"
    assert loaded.warnings == [
        "the environment variable HEADRACE_QEUE is no setting and has no effect; did you mean HEADRACE_QUEUE?",
        "the environment variable HEADRACE_XYZW is no setting and has no effect",
    ]


def secret(tmp_path: Path, name: str, text: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_every_secret_may_have_a_file_of_its_own(tmp_path: Path):
    file = secret(tmp_path, "token", "from a file\n")
    inline = "admin_token = 'x'"
    for text, environment, options in (
        (f"admin_token_file = '{file}'", {}, {}),
        (inline, {"HEADRACE_ADMIN_TOKEN_FILE": str(file)}, {}),
        (inline, {}, {"admin_token_file": str(file)}),
    ):
        loaded = in_file(tmp_path, text, environment, **options).load()
        assert loaded.settings.admin_token == "from a file"
        assert loaded.files == {file}
        assert "from a file" not in repr(loaded.origins)
    later = in_file(tmp_path, f"admin_token_file = '{file}'", {"HEADRACE_ADMIN_TOKEN": "variable"})
    assert later.load().settings.admin_token == "variable"
    crlf = secret(tmp_path, "crlf", " two words \r\n")
    assert in_file(tmp_path, "", cursor_secret_file=str(crlf)).load().settings.cursor_secret == " two words "


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * 70_000, "has more than 65536 bytes"),
    ],
)
def test_files_that_hold_no_secret_are_refused(tmp_path: Path, content: bytes, words: str):
    reason = refused(in_file(tmp_path, f"admin_token_file = '{secret(tmp_path, 'token', content)}'"))
    assert f"token {words}" in reason
    assert "[admin_token]" in reason
    assert "headrace.toml:1" in reason


def test_a_missing_or_doubled_secret_is_refused(tmp_path: Path):
    reason = refused(in_file(tmp_path, "", {"HEADRACE_ADMIN_TOKEN_FILE": str(tmp_path / "none")}))
    assert "No such file" in reason
    assert "HEADRACE_ADMIN_TOKEN_FILE" in reason
    file = secret(tmp_path, "token", "x")
    twice = refused(in_file(tmp_path, f"admin_token_file = '{file}'\nadmin_token = 'y'"))
    assert "is set twice" in twice
    assert "headrace.toml:1" in twice
    assert "headrace.toml:2" in twice


def test_a_folder_of_secrets_as_kubernetes_mounts_it(tmp_path: Path):
    folder = tmp_path / "mounted"
    data = folder / "..2026_1"
    data.mkdir(parents=True)
    (folder / "..data").symlink_to("..2026_1")
    for name, text in (("admin_token", "t\n"), ("registry_password", "p"), ("secret_KEY", "k"), ("adm_token", "?")):
        secret(data, name, text)
        (folder / name).symlink_to(f"..data/{name}")
    loaded = in_file(tmp_path, f"secrets_dir = '{folder}'\nregistry_password = 'nearer'").load()
    assert (loaded.settings.admin_token, loaded.settings.registry_password) == ("t", "nearer")
    assert loaded.udf_secrets == {"KEY": "k"}
    assert loaded.warnings == [
        f"the file {folder}/adm_token is no secret and has no effect; did you mean [admin_token]?"
    ]
    assert folder in loaded.files
    assert "No such file" in refused(in_file(tmp_path, "", secrets_dir=str(tmp_path / "none")))
