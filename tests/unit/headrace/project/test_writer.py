"""A set as files: paths stay in the directory, and files present are compared with the variables of a target."""

from __future__ import annotations

import pytest

from headrace.project import Project
from headrace.project.tools import writer
from headrace_pipelines.errors import InvalidError
from tests.unit.headrace.project.conftest import GOOD

PIPELINE = {"name": "p", "type": "document", "stages": []}
UDF = {"name": "u", "language": "python", "source": "def process(d, p):\n    return d\n"}
EMPTY = {"set": "shop", "pipelines": [], "udfs": [], "associations": {}}


@pytest.mark.parametrize(
    "answer",
    [
        {"pipelines": [{**PIPELINE, "name": "../../outside"}]},
        {"pipelines": [{**PIPELINE, "name": "/tmp/outside"}]},
        {"pipelines": [{**PIPELINE, "name": ".hidden"}]},
        {"pipelines": [{**PIPELINE, "type": "../../../x"}, PIPELINE]},
        {"udfs": [{**UDF, "name": "../outside"}]},
        {"udfs": [UDF, {**UDF, "name": "a/b"}]},
        {"set": 'x"\n[target.dev]\nurl = "http://evil'},
    ],
)
def test_a_name_that_is_none_of_an_object_writes_nothing(tmp_path, answer):
    folder = tmp_path / "a" / "b"
    with pytest.raises(InvalidError):
        writer.write(folder, {**EMPTY, **answer})
    assert not list(tmp_path.rglob("*"))


def test_a_link_that_leads_out_of_the_directory_is_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "udfs").symlink_to(outside)
    with pytest.raises(InvalidError, match="leads out of the directory"):
        writer.write(folder, {**EMPTY, "udfs": [UDF]})
    assert not list(outside.iterdir())


def test_files_that_are_the_same_for_the_target_stay_as_they_are(write):
    prod = '\n[target.prod]\nurl = "http://127.0.0.1:1"\nvars = { by = "+", n = 4 }\n'
    folder = write({**GOOD, "headrace.toml": GOOD["headrace.toml"] + prod})
    stored = Project.load(folder, "prod").as_set()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert writer.write(folder, stored, "prod").files == []
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert writer.write(folder, stored).files == ["pipelines/logs.yaml"], "the first target has other variables"
