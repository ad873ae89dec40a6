"""The lines of the log at the start of a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devnode.node import free_port
from headrace.app import Proxy
from tests.conftest import settings_for
from tests.integration.test_nodes import Fake

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_a_start_without_a_cluster_is_one_warning_that_says_what_happens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    proxy = Proxy(settings_for(f"http://127.0.0.1:{free_port()}", tmp_path))
    await proxy.start()
    await proxy.stop()
    (line,) = [record for record in caplog.records if record.levelname != "INFO" and record.name.startswith("headrace")]
    assert line.levelname == "WARNING"
    assert line.message.startswith("the registry index cannot be reached (ConnectionError), and ")
    assert line.message.endswith("until it can be read, requests that pipelines may concern are answered with 503")


async def test_an_ipv6_address_is_logged_as_a_url(tmp_path: Path):
    node = await Fake().start()
    proxy = Proxy(settings_for(f"http://127.0.0.1:{node.port}", tmp_path, listen="[::1]:0"))
    await proxy.start()
    try:
        assert proxy.url.startswith("http://[::1]:")
    finally:
        await proxy.stop()
        node.stop()
