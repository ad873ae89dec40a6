"""Which state folder a proxy takes: that of its cluster, also after a node was added or replaced."""

from __future__ import annotations

from pathlib import Path

from headrace.registry.state_files import folder_of, write_nodes


def test_a_changed_list_of_nodes_keeps_the_folder(tmp_path: Path):
    first = folder_of(tmp_path / "a", ".registry", ["http://x:1"])
    assert first == tmp_path / "a"
    write_nodes(first, ".registry", ["http://x:1"])
    assert folder_of(tmp_path / "b", ".registry", ["http://x:1", "http://y:1"]) == first
    assert folder_of(tmp_path / "b", ".registry", ["http://y:1"]) == tmp_path / "b", "another cluster"
    assert folder_of(tmp_path / "b", ".other", ["http://x:1"]) == tmp_path / "b", "another registry"
    (tmp_path / "b").mkdir()
    assert folder_of(tmp_path / "b", ".registry", ["http://x:1"]) == tmp_path / "b", "its own comes first"
