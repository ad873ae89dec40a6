"""When certificates end, compared with what openssl says."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace.http1.certificates import expiries, not_after
from headrace.settings import Settings
from tests.support.certificates import Authority


def end_by_openssl(path: Path) -> float:
    shown = subprocess.run(["openssl", "x509", "-enddate", "-noout", "-in", path], capture_output=True, text=True)
    text = shown.stdout.strip().removeprefix("notAfter=")
    return datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("days", [1, 9000, 20_000])
def test_the_end_is_that_of_openssl(tmp_path: Path, days: int):
    """20,000 days are beyond 2049, and written with four digits of the year."""
    path = tmp_path / "c.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "k", "-out", path,
         "-days", str(days), "-subj", "/CN=a/O=b"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    assert not_after(ssl.PEM_cert_to_DER_cert(path.read_text())) == end_by_openssl(path)


def test_the_earliest_of_a_file_counts_and_what_cannot_be_read_is_left_out(tmp_path: Path):
    authority = Authority(tmp_path)
    short, _ = authority.issue("short")
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("a comment\n" + authority.path.read_text() + short.read_text())
    (tmp_path / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    settings = Settings(
        tls_cert=str(short), upstream_ca=str(bundle), upstream_cert=str(tmp_path / "bad.pem"), tls_client_ca="/no/file"
    )
    assert expiries(settings) == {"tls_cert": end_by_openssl(short), "upstream_ca": end_by_openssl(short)}


def test_bytes_that_are_no_certificate(tmp_path: Path):
    authority = Authority(tmp_path)
    der = ssl.PEM_cert_to_DER_cert(authority.path.read_text())
    for length in range(0, 150, 7):
        with pytest.raises((ValueError, IndexError)):
            not_after(der[:length])
