"""A third party's REST suite, direct and through the proxy: the pass lists are equal."""

from __future__ import annotations

import asyncio
import os
import re

import pytest

from tests.clients.identity import attach_identity
from tests.clients.yaml_suite import Suite, cases, fetch
from tests.conftest import Http

# Everything with HEADRACE_YAML_SUITE=.; by default the surfaces that Headrace reads or shapes.
CHOSEN = os.environ.get(
    "HEADRACE_YAML_SUITE",
    r"^(bulk|create|index|update|delete|exists|get|mget|msearch|count|explain|scroll|search/(10|20|30|40|60|90)_|"
    r"indices\.(create|delete|exists|get|put_settings|get_settings|put_alias|put_mapping|refresh)|ping|info|cat\.(count|indices))",
)

REFUSED = {
    "bulk/40_source: Source filtering",
    "update/40_routing: Routing",
    "update/80_source_filtering: Source filtering",
}
"""Updates that ask for the stored document, which no final result pipeline sees there: refused by design."""


DIRECT: dict[tuple[str, str], str] = {}
"""How tests end without the proxy, by seed and name: it is nothing to them what is attached there."""


def compare(node: str, proxy: str, chosen: str = CHOSEN, seed: str = "") -> tuple[dict[str, tuple[str, str]], int]:
    """Tests that end differently, twice in a row; and how many passed."""
    folder = fetch()
    direct, through = Suite(node, node, folder, seed=seed), Suite(proxy, node, folder, seed=seed)
    different: dict[str, tuple[str, str]] = {}
    passed = 0
    for case in cases(folder, re.compile(chosen)):
        key = (seed, case.name)
        for again in (False, True):
            if again or key not in DIRECT:
                DIRECT[key] = direct.run(case)
            ends = DIRECT[key], through.run(case)
            if ends[0].partition(":")[0] == ends[1].partition(":")[0]:
                passed += ends[0] == "passed"
                break
        else:
            different[case.name] = ends
    return different, passed


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("identity", ["none", "default", "final"])
async def test_the_pass_lists_are_equal(node: str, through: Http, name: str, identity: str):
    if identity != "none":
        await attach_identity(through, name, final=identity == "final")
    different, passed = await asyncio.to_thread(compare, node, through.base)
    assert {case: ends for case, ends in different.items() if identity != "final" or case not in REFUSED} == {}
    assert passed > 150


# Everything with HEADRACE_YAML_SUITE=.; by default a few surfaces, as each of them is read by the same transcoder.
TYPED = os.environ.get("HEADRACE_YAML_SUITE", r"^(bulk|mget|msearch|count|search/10_)")


@pytest.mark.timeout(1800)
async def test_the_pass_lists_are_equal_in_other_media_types(node: str, through: Http, name: str):
    await attach_identity(through, name)
    seed = os.environ.get("HEADRACE_YAML_SEED", "27")
    different, passed = await asyncio.to_thread(compare, node, through.base, TYPED, seed)
    assert different == {}
    assert passed > 50
