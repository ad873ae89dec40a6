"""Files in the state folder, which only this user can read: secrets of this proxy's own, and copies."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def secret_of(given: str, folder: Path, name: str) -> bytes:
    """The setting, else a secret of this proxy's own that outlives restarts, in its state folder as `name.key`."""
    if given:
        return given.encode()
    path = folder / f"{name}.key"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        temporary = folder / f"{name}.{os.getpid()}.tmp"
        temporary.touch(mode=0o600)
        temporary.write_bytes(secrets.token_bytes(32))
        # Several processes may start together: the first link wins.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(temporary)
        temporary.unlink()
    return path.read_bytes()


NODES = "nodes"
"""The file of a state folder that names its registry index and the nodes of its cluster, one on each line."""


def folder_of(exact: Path, index: str, nodes: list[str]) -> Path:
    """The state folder of a cluster: `exact`, else one of an earlier list of nodes that shares a node with `nodes`.

    A node that is added or replaced must not cost the proxy its keys and its copy of the registry.
    """
    if exact.is_dir():
        return exact
    for listed in sorted(exact.parent.glob(f"*/{NODES}")):
        first, *earlier = listed.read_text().splitlines() or [""]
        if first == index and set(earlier) & set(nodes):
            return listed.parent
    return exact


def write_nodes(folder: Path, index: str, nodes: list[str]) -> None:
    """Writes down of which cluster a folder is. A folder that cannot be written costs the proxy nothing else."""
    with contextlib.suppress(OSError):
        write_private(folder / NODES, "\n".join((index, *nodes)).encode() + b"\n")


def write_private(path: Path, data: bytes) -> None:
    """Writes a file that only this user can read, at once or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)
