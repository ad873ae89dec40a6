"""Authorities and certificates of tests, made by openssl."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Authority:
    """An authority whose files are in a folder: `NAME.pem` and `NAME.key` of each certificate, and its own."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        self._openssl("req", "-x509", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")

    @property
    def path(self) -> Path:
        """The certificate of the authority."""
        return self.folder / f"{self.name}.pem"

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1, in place of an earlier one of the name; gives it and its key."""
        self._openssl("req", *_KEY, "-keyout", f"{name}.key.new", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (self.folder / "san").write_text("subjectAltName=IP:127.0.0.1,IP:::1")
        self._openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key",
            "-set_serial", str(int.from_bytes(os.urandom(8), "big")), "-days", "2", "-extfile", "san",
            "-out", f"{name}.pem.new",
        )  # fmt: skip
        for kind in ("key", "pem"):
            (self.folder / f"{name}.{kind}.new").replace(self.folder / f"{name}.{kind}")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
