"""Values of settings that cannot work, and addresses that are shown without what is before an `@`."""

from __future__ import annotations

import pytest

from headrace.settings import Settings, redacted
from headrace.settings.checks import validate
from headrace_pipelines.errors import InvalidError

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"threads": -1}, "threads"),
        ({"queue": 0}, "queue"),
        ({"queue": -100_000}, "queue"),
        ({"upstream": "http://[::1:9200"}, "upstream"),
        ({"upstream": "http://a:99999"}, "upstream"),
        ({"upstream": "http://a:0"}, "upstream"),
        ({"listen": "127.0.0.1:99999"}, "listen"),
        ({"workers": 0}, "workers"),
        ({"upstream": "http://localhost:9280"}, "upstream"),
        ({"upstream": "http://a:1,http://127.0.0.1:5", "listen": "0.0.0.0:5"}, "upstream"),
    ],
)
def test_values_that_cannot_work(changes, field):
    with pytest.raises(InvalidError) as raised:
        validate(Settings(**changes))
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"http://me:{SECRET}@a:1", "http://***@a:1"),
        (f"http://{SECRET}@a:1", "http://***@a:1"),
        (f"me:{SECRET}@a:1", "***@a:1"),
        (f"https://me:{SECRET}@x@a:1", "https://***@a:1"),
        ("http://a:1", "http://a:1"),
    ],
)
def test_no_secret_of_an_address_is_shown(url, shown):
    assert redacted(url) == shown
    with_secret = Settings(upstream=url)
    assert SECRET not in str(with_secret.shown())
    if "@" in url:
        with pytest.raises(InvalidError) as raised:
            validate(with_secret)
        assert SECRET not in raised.value.reason
