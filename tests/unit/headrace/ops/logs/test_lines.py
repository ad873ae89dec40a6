from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from headrace.ops.logs.lines import LimitedLog

if TYPE_CHECKING:
    import pytest


async def test_lines_that_clients_cause_are_limited_and_counted(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    log = LimitedLog(logging.getLogger("t"), lines=3, seconds=0.1)
    for i in range(50):
        log.write("line %d", i)
    assert caplog.messages == ["line 0", "line 1", "line 2"]
    await asyncio.sleep(0.2)
    assert caplog.messages[3:] == ["47 more lines like these within 0.1 s are left out"]
    log.write("again")
    await asyncio.sleep(0.2)
    assert caplog.messages[4:] == ["again"]
