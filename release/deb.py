"""`python -m release.deb` makes a package for Debian and Ubuntu of the wheels in `dist/`.

It holds a virtual environment in /opt/headrace with all libraries, so that the installation needs no network. The
environment is of the system's Python, on whose version the package depends.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from release.__main__ import DIST, ROOT, ReleaseError

PYTHON = "/usr/bin/python3"
PREFIX = Path("opt/headrace")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
CONTROL = """\
Package: headrace
Version: {version}
Architecture: {architecture}
Maintainer: Headrace
Section: net
Priority: optional
Depends: python3 (>= {python}), python3 (<< {next_python}), libc6 (>= 2.28), adduser
Description: pipelines of your own code in front of OpenSearch
 A drop-in endpoint in front of OpenSearch or Elasticsearch that runs your own
 code on every document, query and result, in WebAssembly sandboxes.
"""
SCRIPTS = {
    "postinst": """\
#!/bin/sh
set -e
adduser --system --group --no-create-home --home /var/lib/headrace --quiet headrace
chgrp headrace /etc/headrace/secrets
chmod 0750 /etc/headrace/secrets
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    [ -z "$2" ] || systemctl try-restart headrace.service
fi
""",
    "prerm": """\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl stop headrace.service; fi
""",
}


def main() -> int:
    """Builds the package; returns the exit status."""
    try:
        print(build().relative_to(ROOT))
    except ReleaseError as error:
        print(f"no package: {error}", file=sys.stderr)
        return 1
    return 0


def build() -> Path:
    """The package of this machine's kind. Raises ReleaseError without the wheels or without Debian's tools."""
    if shutil.which("dpkg-deb") is None:
        raise ReleaseError("dpkg-deb was not found: build on Debian or Ubuntu")
    machine = sysconfig.get_platform().rpartition("-")[2]
    wheels = [*DIST.glob(f"headrace_pipelines-*_{machine}.whl"), *DIST.glob("headrace-*-none-any.whl")]
    if len(wheels) != 2:
        raise ReleaseError("dist/ has no wheels of both distributions: run `make wheels` first")
    version = wheels[1].name.split("-")[1]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        _environment(root, wheels)
        _files(root, version, MACHINES[machine])
        package = DIST / f"headrace_{version}_{MACHINES[machine]}.deb"
        _run("dpkg-deb", "--root-owner-group", "--build", str(root), str(package))
    return package


def _environment(root: Path, wheels: list[Path]) -> None:
    """The virtual environment, whose scripts name the place where it will be."""
    home = root / PREFIX
    _run(PYTHON, "-m", "venv", "--without-pip", str(home))
    python = str(home / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python] if _has_pip() else ["uv", "pip"]
    _run(*pip, "install", "--quiet", *([] if _has_pip() else ["--python", python]), *map(str, wheels))
    (home / ".lock").unlink(missing_ok=True)
    # The user of the service cannot write there: without compiled modules every start would compile them.
    _run(python, "-m", "compileall", "-q", "-s", str(root), str(home / "lib"))
    for script in (home / "bin").iterdir():
        if not script.is_symlink() and (text := script.read_bytes()).find(str(root).encode()) >= 0:
            script.write_bytes(text.replace(str(home).encode(), f"/{PREFIX}".encode()))
    config = home / "pyvenv.cfg"
    config.write_text(config.read_text().replace(str(home), f"/{PREFIX}"))


def _has_pip() -> bool:
    return subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0


def _files(root: Path, version: str, architecture: str) -> None:
    """Everything beside the environment."""
    _, _, python = subprocess.run([PYTHON, "--version"], capture_output=True, text=True, check=True).stdout.partition(
        " "
    )
    major, minor = (int(part) for part in python.split(".")[:2])
    folder = root / "DEBIAN"
    folder.mkdir()
    values = {"version": version, "architecture": architecture}
    versions = {"python": f"{major}.{minor}", "next_python": f"{major}.{minor + 1}~"}
    (folder / "control").write_text(CONTROL.format(**values, **versions))
    (folder / "conffiles").write_text("/etc/headrace/headrace.toml\n")
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (root / "etc/headrace/secrets").mkdir(parents=True)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/headrace").symlink_to(f"/{PREFIX}/bin/headrace")
    for source, target in (
        ("deploy/systemd/headrace.toml", "etc/headrace/headrace.toml"),
        ("deploy/systemd/headrace.service", "usr/lib/systemd/system/headrace.service"),
        ("LICENSE", "usr/share/doc/headrace/copyright"),
        ("NOTICE", "usr/share/doc/headrace/NOTICE"),
        ("README.md", "usr/share/doc/headrace/README.md"),
    ):
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, root / target)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise ReleaseError(f"`{' '.join(command)}` failed with status {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
