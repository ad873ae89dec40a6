"""The body to forward of many actions is what each of them alone would have become, whatever its neighbours are."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from headrace_pipelines._wasm import Native
from headrace_pipelines.engine import Bulk, Condition, Deadline, Step


def step(function: str, condition: str | None = None, **parameters: Any) -> Step:
    native = Native(function, "document", json.dumps(parameters, indent=1).encode())
    return Step.native(
        function, native, condition=Condition(condition, ["doc"], b"{}") if condition else None, aborts=True
    )


SHAPE = [
    step("set", field="env", value="prod"),
    step("drop", "doc.level == 'DEBUG'"),
    step("lowercase", field="level", ignore_missing=True),
    step("fail", "doc.level == 'bad'", message="no"),
    step("set", "doc.level == 'move'", field="_index", value="elsewhere"),
    step("set", "doc.level == 'long'", field="text", value={"a": ["x" * 90, "on lines of its own"]}),
    step("remove", "doc.level == 'less'", field="env"),
]
AGAIN = [step("set", "doc.level == 'long' || doc.level == 'less'", field="again", value=1)]
QUIET = [step("set", "doc.level == 'nobody'", field="never", value=1)]


def action(rng: random.Random, n: int) -> bytes:
    """An action as clients write them, and as nobody should."""
    level = rng.choice(["INFO", "DEBUG", "BAD", "MOVE", "LONG", "LESS", "ok", "Ü"])
    document = json.dumps({"n": n, "level": level, "s": "x" * rng.randrange(40)}, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.1:
        document = rng.choice(['{"n": 1, "level": ', "[1]", '{"level":"INFO","level":"DEBUG"}', "{}"])
    op = rng.choice(["index", "create"])
    meta = rng.choice(['{"_index":"i"}', f'{{"_index":"i","_id":"{n}"}}', '{"_index":"j","pipeline":"ours"}', "{}"])
    end = rng.choice(["\n"] * 6 + ["\r\n"])
    head = f'{{"{op}":{meta}}}{end}'
    match rng.randrange(12):
        case 0:
            return f'{{"delete":{{"_index":"i","_id":"{n}"}}}}{end}'.encode()
        case 1:
            return f'{{"update":{{"_index":"i","_id":"{n}"}}}}{end}{{"upsert": {document} }}{end}'.encode()
        case 2:
            return f"\n{head}{document}{end}\n".encode()
        case 3:
            return f"{head} {document} {end}".encode()
        case _:
            return f"{head}{document}{end}".encode()


def through(body: bytes, *runs: list[Step]) -> tuple[bytes, list[Any], tuple[int, int, int]]:
    """The body to forward, what became of each action, and their counts."""
    bulk = Bulk(body, index="u")
    for key, (_, pipeline, _) in enumerate(bulk.targets()):
        if pipeline == "ours":
            bulk.strip_pipeline(key)
    keys = [key for key, (_, _, writes) in enumerate(bulk.targets()) if writes]
    for steps in runs:
        batch = bulk.batch(keys)
        batch.run_steps(steps, Deadline(), closed=True, pipeline="p")
        bulk.absorb(batch)
    rendered = bulk.render()
    return body if rendered is None else rendered, [bulk.outcome(i) for i in range(len(bulk))], bulk.counts()


def plain(body: bytes) -> bytes:
    """With one line end behind each line, and no lines between."""
    return b"".join(line + b"\n" for line in body.replace(b"\r\n", b"\n").split(b"\n") if line.strip())


@pytest.mark.parametrize("runs", [[SHAPE], [SHAPE, AGAIN], [QUIET, SHAPE], [SHAPE, SHAPE, AGAIN], [QUIET]])
def test_an_action_becomes_the_same_beside_others(runs: list[list[Step]]):
    rng = random.Random(len(runs))
    for _ in range(60):
        actions = [action(rng, n) for n in range(rng.randrange(16, 60))]
        each = [through(one, *runs) for one in actions]
        body, outcomes, counts = through(b"".join(actions), *runs)
        assert plain(body) == b"".join(plain(one) for one, _, _ in each)
        assert outcomes == [outcome for _, found, _ in each for outcome in found]
        assert counts == tuple(map(sum, zip(*(counts for _, _, counts in each), strict=True)))


def test_lines_that_stages_made_are_forwarded_as_one_piece():
    body = b"".join(b'{"index":{"_id":"%d"}}\n{"level":"INFO","n":%d}\n' % (n, n) for n in range(40))
    lines = (b'{"index":{"_id":"%d"}}\n{"level":"info","n":%d,"env":"prod"}\n' % (n, n) for n in range(40))
    assert through(body, [SHAPE[2], SHAPE[0]])[0] == b"".join(lines)
