"""Files of quotas, and buckets that processes share."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.protocol.headers.credentials import identity_of
from headrace.security.quotas import Admission, Quota, Quotas, bucket_of, read_quotas
from headrace.security.quotas.rules import QuotaMatch
from headrace_pipelines.engine import SharedBuckets
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.http1 import RequestParser

SECOND = 10**9


def head(*lines: str):
    text = "\r\n".join(["GET /a/_search HTTP/1.1", "Host: a", *lines, "", ""])
    found = RequestParser(4096, 16384, 100).parse(text.encode())
    assert found is not None
    return found


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "quotas.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("quotas: [{name: A, requests_per_second: 1}]", "quotas[0].name"),
        ("quotas: [{name: a}]", "has no limit"),
        ("quotas: [{name: a, requests_per_second: 0}]", "requests_per_second"),
        ("quotas: [{name: a, requests_per_second: -1}]", "requests_per_second"),
        ("quotas: [{name: a, requests_per_second: 1000000000000}]", "at most"),
        ("quotas: [{name: a, requests_per_secnd: 1}]", "did you mean [requests_per_second]"),
        ("quotas: [{name: a, requests_per_second: many}]", "requests_per_second"),
        ("quotas: [{name: a, concurrent_requests: 1.5}]", "concurrent_requests"),
        ("quotas: [{name: a, per: pattern, requests_per_second: 1}]", "user, index or header:NAME"),
        ("quotas: [{name: a, per: 'header:', requests_per_second: 1}]", "user, index or header:NAME"),
        ("quotas: [{name: a, per: 'header:a b', requests_per_second: 1}]", "user, index or header:NAME"),
        ("quotas: [{name: a, per: 'header:Authorization', requests_per_second: 1}]", "write [user]"),
        ("quotas: [{name: a, requests_per_second: 1.0e-12}]", "at least"),
        ("quotas: [{name: a, match: {operations: [reads]}, requests_per_second: 1}]", "search"),
        ("quotas: [{name: a, match: {indexes: ['a,b']}, requests_per_second: 1}]", "match.indexes"),
        ("quotas: [{name: a, burst: 2h, requests_per_second: 1}]", "burst"),
        ("quotas: [{name: a, burst: soon, requests_per_second: 1}]", "burst"),
        ("quotas: [{name: a, requests_per_second: 1}, {name: a, requests_per_second: 1}]", "two quotas"),
        ("quotas: {", "is not YAML"),
        ("- a", "quotas.yaml"),
        ("", "quotas.yaml"),
    ],
)
def test_a_file_that_cannot_work_is_refused_and_says_where(tmp_path: Path, text: str, words: str):
    with pytest.raises(InvalidError) as error:
        read_quotas(written(tmp_path, text))
    assert words in error.value.reason
    assert error.value.field == "quotas"


def test_a_file_that_is_missing_or_too_long_is_refused(tmp_path: Path):
    with pytest.raises(InvalidError, match="cannot read"):
        read_quotas(str(tmp_path / "missing.yaml"))
    with pytest.raises(InvalidError, match="more than"):
        read_quotas(written(tmp_path, "#" * (1 << 20) + "\n"))
    assert read_quotas("") == ()


def test_what_a_quota_is_about():
    match = QuotaMatch(users=("ship-*",), headers={"X-Team": "a*"})
    quota = Quota(name="a", match=match, requests_per_second=1)
    basic = "Authorization: Basic c2hpcC0xOnB3"  # ship-1:pw
    assert quota.concerns(head(basic, "x-team: alpha"), "search")
    assert not quota.concerns(head(basic), "search")
    assert not quota.concerns(head("x-team: alpha"), "search")
    assert not quota.concerns(head(basic, "x-team: beta", "x-team: alpha"), "search"), "several lines are one value"


def test_identities_show_no_secret():
    assert identity_of("") == ""
    assert identity_of("Basic c2hpcC0xOnB3") == "ship-1"
    bearer = identity_of("Bearer abc.def.ghi")
    assert bearer.startswith("bearer:")
    assert "abc" not in bearer
    assert bearer != identity_of("Bearer abc.def.ghj")
    assert "secret" not in identity_of("secret")
    assert identity_of("Basic !!") != "basic", "credentials without a user are not one user"


@settings(max_examples=200, deadline=None)
@given(
    rate=st.floats(0.1, 1e6),
    burst=st.floats(0.01, 10),
    steps=st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(1, 5000)), min_size=1, max_size=60),
)
def test_a_bucket_never_admits_more_than_its_rate(rate: float, burst: float, steps: list[tuple[int, int]]):
    """Over any time: what was admitted before the last charge fits into burst and rate (the last one may be debt)."""
    buckets, start = SharedBuckets(), 10**15
    now, unit = start, int(SECOND / rate)
    capacity = max(int(burst * SECOND), unit)
    before_last = admitted = 0
    for pause, count in steps:
        now += pause
        wait = buckets.charge(7, int(count * SECOND / rate), unit, capacity, now)
        if wait == 0:
            before_last, admitted = admitted, admitted + count
            allowed = capacity * rate / SECOND + (now - start) * rate / SECOND
            assert before_last <= allowed + 1 + before_last * 1e-6
        else:
            assert buckets.charge(7, 1, unit, capacity, now + wait - 1) == 1
            assert buckets.charge(7, 1, unit, capacity, now + wait) == 0, "after the wait it is admitted"
            buckets.refund(7, 1)


def test_a_full_table_refuses_new_keys_and_frees_unused_ones():
    buckets, now = SharedBuckets(), 10**15
    same_slot = [1 + (n << 14) for n in range(40)]
    waits = [buckets.charge(key, SECOND, SECOND, SECOND, now) for key in same_slot]
    assert waits[:32] == [0] * 32
    assert all(waits[32:]), "a limit is enforced where there is no room to count"
    assert buckets.charge(same_slot[39], SECOND, SECOND, SECOND, now + SECOND) == 0, (
        "a bucket that is full again is free"
    )


def test_a_worker_that_is_started_again_forgets_what_it_had_in_progress(tmp_path: Path):
    path = tmp_path / "quotas"
    first, second = (SharedBuckets(path, workers=2, worker=n) for n in range(2))
    assert None not in [first.enter(5, 3), second.enter(5, 3), first.enter(5, 3)]
    assert second.enter(5, 3) is None
    SharedBuckets(path, workers=2, worker=0)
    assert second.state(5)[1] == 1
    assert second.enter(5, 3) is not None


def _charge(path: Path, worker: int, count: int, results: multiprocessing.Queue[int]) -> None:
    buckets = SharedBuckets(path, workers=4, worker=worker)
    results.put(sum(buckets.charge(9, SECOND // 1000, SECOND // 1000, SECOND, 10**15) == 0 for _ in range(count)))


def test_processes_share_a_bucket_exactly(tmp_path: Path):
    path = tmp_path / "quotas"
    SharedBuckets(path, workers=4, worker=3)
    results: multiprocessing.Queue[int] = multiprocessing.Queue()
    workers = [multiprocessing.Process(target=_charge, args=(path, n, 900, results)) for n in range(3)]
    for worker in workers:
        worker.start()
    admitted = [results.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(admitted) == 1000


def test_who_only_claimed_to_be_a_user_has_used_nothing():
    quota = Quota(name="a", per="user", searches_per_second=1, concurrent_requests=1)
    quotas = Quotas((quota,), SharedBuckets())
    for status, again in ((401, None), (200, "searches_per_second")):
        admission = Admission(quotas)
        assert admission.enter(quota, "ann", {"searches_per_second": 1}) is None
        assert quotas.buckets.state(bucket_of(quota, "concurrent_requests", "ann"))[1] == 1
        admission.end(status)
        other = Admission(quotas)
        refusal = other.enter(quota, "ann", {"searches_per_second": 1})
        assert (refusal.limit if refusal else None) == again
        other.cancel()
    assert quotas.buckets.state(bucket_of(quota, "concurrent_requests", "ann"))[1] == 0
