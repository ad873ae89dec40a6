"""`headrace import` of files."""

from __future__ import annotations

import json

import pytest

from headrace.cli import main

CONF = "filter {\n drop { }\n ruby { code => 'x' }\n}"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "apache.conf"
    path.write_text(CONF)
    return path


def test_the_pipeline_is_printed_and_the_report_is_on_standard_error(file, capsys):
    assert main(["import", "logstash", "apache.conf"]) == 1
    done = capsys.readouterr()
    assert done.out.startswith("type: document\n")
    assert "apache.conf:2: converted: drop\napache.conf:3: by hand: ruby: the code is Ruby: write a UDF\n" in done.err
    assert "error: 1 of 2 parts are not converted" in done.err
    assert main(["import", "logstash", "apache.conf", "--partial"]) == 0


def test_the_pipeline_is_written_over_no_file_and_is_valid(file, capsys):
    arguments = ["import", "logstash", "apache.conf", "--to", "out", "--as", "a", "--partial", "--report", "r.json"]
    assert main(arguments) == 0
    report = json.loads((file.parent / "r.json").read_bytes())
    assert report["file"] == "apache.conf"
    assert [part["status"] for part in report["parts"]] == ["converted", "by hand"]
    assert main(["validate", "out"]) == 0
    (file.parent / "out/pipelines/a.yaml").write_text("mine")
    assert main(arguments) == 1
    assert "exists" in capsys.readouterr().err
    assert (file.parent / "out/pipelines/a.yaml").read_text() == "mine"


def test_a_pipeline_of_the_cluster_in_a_file_needs_no_proxy(file, capsys):
    (file.parent / "p.json").write_text('{"processors": [{"drop": {}}]}')
    assert main(["import", "ingest", "p.json"]) == 0
    assert main(["import", "ingest", "absent"]) == 2
    assert "--as NAME" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "_x"])
def test_a_name_that_is_no_name_of_a_pipeline_is_refused(file, name, capsys):
    code = main(["import", "logstash", "apache.conf", "--to", "out", "--partial", "--as", name])
    assert code == (0 if name == "" else 2)


def test_a_file_that_cannot_be_read_has_its_line(file, capsys):
    file.write_text('filter {\n mutate { add_tag => "x }')
    assert main(["import", "logstash", "apache.conf"]) == 1
    assert "apache.conf:2: the string that begins here has no end" in capsys.readouterr().err
    assert main(["import", "logstash", "absent.conf"]) == 1
