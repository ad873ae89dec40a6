"""Programs in other languages that speak with a cluster."""

from __future__ import annotations

import asyncio
import os


async def output(*command: str, **environment: str) -> str:
    """What a program writes; it has to end well."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **environment}
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()
