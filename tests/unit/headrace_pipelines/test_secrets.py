"""References to secrets: replaced as a whole, or an error."""

from __future__ import annotations

import pytest

from headrace_pipelines.errors import InvalidError
from headrace_pipelines.udf.secrets import Secrets

SECRETS = Secrets({"key": "abc", "longer": "abcdef", "nested": "${secret:x-y}"})


def test_references_are_replaced_once():
    assert SECRETS.resolved(b'{"a": ["x${secret:key}y"], "b": "${secret:nested}"}', "p") == (
        b'{"a":["xabcy"],"b":"${secret:x-y}"}'
    )


@pytest.mark.parametrize("name", ["a-b", "", "../../etc/passwd", "key ", "ä", "key"])
def test_a_malformed_reference_does_not_stand_as_text(name: str):
    text = "${secret:" + name + ("" if name == "key" else "}")
    with pytest.raises(InvalidError, match="reference to a secret") as caught:
        SECRETS.resolved(('{"a": "' + text + '"}').encode(), "p")
    assert caught.value.field == "p.a"


def test_a_secret_that_has_another_one_in_it_is_hidden_as_a_whole():
    assert SECRETS.hidden("it is [abcdef], not abc") == "it is [***], not ***"


def test_a_secret_is_hidden_in_json_however_it_is_escaped():
    secrets = Secrets({"A": 'p"é', "N": "123456", "S": "7"})
    text = b'{"a":"x p\\"\\u00e9 y","p\\u0022\xc3\xa9":1,"n":123456,"s":7,"m":1234567,"h":"\\ud800 p\\"\xc3\xa9"}'
    shown = secrets.hidden_in(text)
    assert shown.startswith(b'{"a":"x *** y","***":1,"n":"***","s":7,"m":1234567,')
    assert Secrets().hidden_in(text) is text
