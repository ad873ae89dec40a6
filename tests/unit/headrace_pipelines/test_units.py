from __future__ import annotations

import pytest

from headrace_pipelines.errors import InvalidError
from headrace_pipelines.units import seconds, size


@pytest.mark.parametrize(
    ("text", "value"),
    [("250ms", 0.25), ("5s", 5), ("1.5m", 90), ("2H", 7200), ("1d", 86400), ("10micros", 1e-5), ("3nanos", 3e-9)],
)
def test_times(text, value):
    assert seconds(text, "f") == pytest.approx(value)


@pytest.mark.parametrize(("text", "value"), [("1b", 1), ("64mb", 64 << 20), ("1.5kb", 1536), ("2GB", 2 << 30)])
def test_sizes(text, value):
    assert size(text, "f") == value


@pytest.mark.parametrize("text", ["", "5", "ms", "-1s", "1 fortnight", "0s", "1e3s"])
def test_bad_texts_name_the_field(text):
    with pytest.raises(InvalidError) as caught:
        seconds(text, "stages[0].timeout")
    assert caught.value.field == "stages[0].timeout"
