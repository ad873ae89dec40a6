from __future__ import annotations

import pytest

from headrace import cli
from headrace.settings import Settings, load
from headrace_pipelines.errors import InvalidError


def test_later_sources_win(tmp_path):
    file = tmp_path / "headrace.toml"
    file.write_text('upstream = "http://file:1"\nqueue = 7\nlisten = "127.0.0.1:1"\n')
    environment = {"HEADRACE_LISTEN": "127.0.0.1:2", "HEADRACE_QUEUE": "8", "HEADRACE_DEMO": "not a setting", "X": "y"}
    settings = load(file, environment, {"queue": "9", "upstream": None})
    assert (settings.upstream, settings.listen, settings.queue) == ("http://file:1", "127.0.0.1:2", 9)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"upstream": "cluster:9200"}, "not an http"),
        ({"upstream": "http://h:1/path"}, "scheme, host and port only"),
        ({"upstream": "http://user:pass@h:1"}, "must not carry credentials"),
        ({"listen": "9280"}, "not host:port"),
        ({"listen": "127.0.0.1:99999"}, "not host:port"),
        ({"udf_timeout": "100"}, "unit is missing"),
        ({"max_body": "lots"}, "unit is missing"),
        ({"queue": "many"}, "must be a whole number"),
        ({"log_level": "loud"}, "is not one of"),
        ({"registry_index": "plain"}, "must begin with a dot"),
    ],
)
def test_bad_values_are_refused_with_their_name(values, words):
    with pytest.raises(InvalidError) as caught:
        load(None, {}, values)
    assert words in caught.value.reason
    assert "pass" not in caught.value.reason.replace("password", "")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InvalidError, match="cannot read"):
        load(tmp_path / "none.toml", {}, {})
    bad = tmp_path / "bad.toml"
    bad.write_text("upstream = ")
    with pytest.raises(InvalidError, match="is not TOML"):
        load(bad, {}, {})
    bad.write_text("upstraem = 'x'")
    with pytest.raises(InvalidError, match="upstraem"):
        load(bad, {}, {})


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [("127.0.0.1:1", True), ("localhost:1", True), ("[::1]:1", True), ("0.0.0.0:1", False), ("proxy.example:1", False)],
)
def test_loopback(listen, loopback):
    assert Settings(listen=listen).loopback is loopback


def test_secrets_are_never_shown():
    shown = Settings(admin_token="s3cret", registry_password="s3cret").shown()
    assert "s3cret" not in str(shown)


def test_check_config(capsys, monkeypatch):
    monkeypatch.setenv("HEADRACE_ADMIN_TOKEN", "s3cret")
    assert cli.main(["check-config", "--queue", "5"]) == 0
    out = capsys.readouterr().out
    assert '"queue": 5' in out
    assert "s3cret" not in out
    assert cli.main(["check-config", "--listen", "nowhere"]) == 2
    assert "(listen)" in capsys.readouterr().err


def test_certificates_are_checked_at_the_start(capsys):
    assert cli.main(["check-config", "--tls-cert", "/not/there.pem"]) == 2
    assert "(tls_cert)" in capsys.readouterr().err
    assert cli.main(["check-config", "--tls-client-ca", "/x"]) == 2
    assert "needs tls_cert" in capsys.readouterr().err
    assert cli.main(["check-config", "--upstream", "http://a:1, https://b:2"]) == 2
    assert "all nodes speak http" in capsys.readouterr().err
    assert cli.main(["check-config", "--upstream", "http://a:1,http://b:2", "--upstream-verify", "false"]) == 0
