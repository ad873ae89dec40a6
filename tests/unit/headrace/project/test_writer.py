"""What an export writes: files in the directory only, and one for each object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headrace.project.problems import ProjectError
from headrace.project.project import Project
from headrace.project.tools import writer

if TYPE_CHECKING:
    from pathlib import Path


def pipeline(name: str, kind: str = "document", field: str = "a") -> dict[str, Any]:
    stage = {
        "name": "x",
        "type": "python",
        "config": {"code": f"{kind if kind == 'document' else 'request'}['{field}'] = 1"},
    }
    return {"name": name, "type": kind, "stages": [stage]}


def export(**parts: Any) -> dict[str, Any]:
    return {"set": "shop", "udfs": [], "pipelines": [], "associations": {}, **parts}


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "..", "a/b", "a\n\x1b[31mb", ""])
@pytest.mark.parametrize("part", ["udfs", "pipelines", "set"])
def test_a_name_that_is_a_path_is_not_written(tmp_path: Path, part: str, name: str):
    objects: Any = [{"name": name, "type": "document", "stages": [], "language": "python", "source": "x"}]
    if part == "set" and not name:
        return
    with pytest.raises(ProjectError, match="nothing was written"):
        writer.write(tmp_path / "shop", export(**{part: name if part == "set" else objects}))
    assert list(tmp_path.rglob("*")) == []


def test_a_link_does_not_lead_out_of_the_directory(tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "pipelines").symlink_to("../outside")
    with pytest.raises(ProjectError, match="outside of the directory"):
        writer.write(tmp_path / "shop", export(pipelines=[pipeline("a")]))
    assert list((tmp_path / "outside").iterdir()) == []


def test_every_object_has_a_file_of_its_own(tmp_path: Path):
    names = [pipeline("a"), pipeline("a", "query"), pipeline("a.document", field="b"), pipeline("a.query", field="c")]
    writer.write(tmp_path, export(pipelines=names))
    found = Project.load(tmp_path).as_set()["pipelines"]
    assert sorted(str(each) for each in found) == sorted(str(each) for each in names)
    assert writer.write(tmp_path, export(pipelines=names)).files == []


def test_the_file_of_another_object_is_not_overwritten(tmp_path: Path):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "a.yaml").write_text("name: b\ntype: document\nstages: []\n")
    code = "document['a'] = 1"
    written = writer.write(tmp_path, export(pipelines=[pipeline("a")]))
    assert "pipelines/a-2.yaml" in written.files
    assert code in (tmp_path / "pipelines" / "a-2.yaml").read_text()
    assert (tmp_path / "pipelines" / "a.yaml").read_text().startswith("name: b")
