"""The allocator of the guests against the C library that they are linked with."""

from __future__ import annotations

import re
from pathlib import Path

MEMORY = Path(__file__).resolve().parents[2] / "guests" / "shared" / "memory.h"
ALLOCATORS = {
    "malloc", "calloc", "realloc", "reallocarray", "aligned_alloc", "posix_memalign", "memalign", "valloc", "free",
    "malloc_usable_size",
}  # fmt: skip
"""What C libraries have to give memory, and to take it back."""


def test_no_function_of_the_c_library_gives_memory_that_the_guests_cannot_free():
    assert set(re.findall(r"^(?:void|size_t|int) \*?(\w+)\(", MEMORY.read_text(), re.MULTILINE)) == ALLOCATORS
