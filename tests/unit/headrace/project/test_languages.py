"""`headrace udf new`, `build`, `test` and `package` in every language whose toolchain this machine has."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from examples.build import rust_target_installed
from headrace.cli import main
from headrace.cli.demo.download import cache_folder
from headrace.project.tools import package
from headrace.project.tools.templates import LANGUAGES
from headrace_pipelines.errors import InvalidError

ASSEMBLYSCRIPT = "assemblyscript@0.28.20"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assemblyscript() -> Path:
    """The folder of the compiler `asc`, installed once per machine."""
    home = cache_folder() / "assemblyscript-0.28.20"
    if not (home / "node_modules/.bin/asc").exists():
        subprocess.run(["npm", "install", "--silent", "--prefix", str(home), ASSEMBLYSCRIPT], check=True)
    return home / "node_modules" / ".bin"


def toolchain(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips the test where the language has no toolchain here."""
    if language == "rust" and not rust_target_installed():
        pytest.skip("rustc has no target wasm32-unknown-unknown here")
    if language in ("go", "tinygo") and shutil.which(language) is None:
        pytest.skip(f"{language} is not installed")
    if language == "as":
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed")
        monkeypatch.setenv("PATH", f"{assemblyscript()}:{Path(shutil.which('npm') or '').parent}:/usr/bin:/bin")


@pytest.mark.parametrize("language", LANGUAGES)
def test_from_the_template_to_green_cases(folder: Path, monkeypatch, capsys, language: str):
    toolchain(language, monkeypatch)
    source = f"titles{LANGUAGES[language].ending}"
    assert main(["udf", "new", "titles", "--lang", language]) == 0
    assert source in capsys.readouterr().out.splitlines()
    if language in ("python", "js", "wat"):
        assert main(["udf", "build", source]) == 1
        assert "needs no build" in capsys.readouterr().err
    else:
        assert main(["udf", "test", source]) == 1
        assert f"headrace udf build {source}" in capsys.readouterr().err
        assert main(["udf", "build", source, *(["--tinygo"] if language == "tinygo" else [])]) == 0
        source = "titles.wasm"
    assert main(["udf", "test", source]) == 0
    assert "2 passed, 0 failed" in capsys.readouterr().out

    assert main(["udf", "package", source]) == 0
    packed = package.read(folder / "titles.udf.zip")
    assert packed.manifest.name == "titles"
    first = (folder / "titles.udf.zip").read_bytes()
    assert main(["udf", "package", source]) == 0
    assert (folder / "titles.udf.zip").read_bytes() == first, "the same UDF makes the same file"


def test_one_name_is_one_udf(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["udf", "new", "titles"]) == 0
    assert main(["udf", "new", "titles.js"]) == 1
    assert "titles.py exists already" in capsys.readouterr().err
    assert not (folder / "titles.js").exists()


def test_errors_of_a_compiler_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "u.c").write_text("int nonsense(\n")
    assert main(["udf", "build", "u.c"]) == 1
    assert "u.c:1" in capsys.readouterr().err


def test_a_package_that_is_damaged(folder: Path):
    (folder / "u.py").write_text("def process(doc): return None\n")
    assert main(["udf", "package", "u.py"]) == 0
    with zipfile.ZipFile("u.udf.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile("u.udf.zip", "w") as archive:
        for name, content in {**files, "u.py": b"def process(doc): return True\n"}.items():
            archive.writestr(name, content)
    with pytest.raises(InvalidError, match="is damaged"):
        package.read(folder / "u.udf.zip")
    (folder / "x.udf.zip").write_text("no zip")
    with pytest.raises(InvalidError, match="is no package"):
        package.read(folder / "x.udf.zip")
