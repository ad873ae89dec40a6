"""Records of rollouts: what was asked for (`RolloutSpec`), and the state of it (`Rollout`)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

import msgspec

from headrace_pipelines import units
from headrace_pipelines.definition import VERSION, PipelineType, Strict, members_of
from headrace_pipelines.errors import InvalidError
from headrace_pipelines.errors.validation import explained

Mode = Literal["shadow", "canary"]
State = Literal["running", "paused", "aborted", "promoted"]
BY_ID, BY_USER, BY_HEADER = "_id", "user", "header:"
"""Keys that are no expressions; behind `header:` stands the name of a header."""
MAX_STEPS = 20
"""Maximum number of steps: a rollout of a day with one each hour has room."""
MAX_IGNORED = 100
"""Maximum number of ignored paths: each is compared with each path of a difference."""
MAX_KEY = 1024
"""Maximum length in characters of a key's expression."""
MAX_SAMPLES = 10_000_000
"""Maximum of `min_samples`: more documents than a process sees in an hour make an abort that never comes."""
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")


class Step(Strict, frozen=True, kw_only=True, rename={"duration": "for"}):
    """A step: so many percent of the keys meet the candidate, for so long. The last one may have no `for`."""

    percent: float
    duration: str = ""

    @property
    def seconds(self) -> float | None:
        """Seconds until the next step; `None` for a step that stays."""
        return units.seconds(self.duration, "for") if self.duration else None


class AbortLimits(Strict, frozen=True, kw_only=True):
    """Limits of the candidate in a window; a rollout that exceeds one is aborted.

    `error_rate`: failed documents of all; `diff_rate`: documents of all compared that differ (shadow); `dropped_rate`:
    dropped documents of all; `p99_ratio`: time per document of the candidate over that of the stable version.
    """

    error_rate: float | None = None
    diff_rate: float | None = None
    dropped_rate: float | None = None
    p99_ratio: float | None = None


class RolloutSpec(Strict, frozen=True, kw_only=True):
    """What was asked for. An empty `key` is the default of the pipeline's type, `_id` or `user`.

    In the mode `shadow` the percentage of a step is the share of the inputs that are compared; without steps all are.
    `ignore`: paths whose differences do not count. `execute`: the share of the compared searches that are sent to the
    cluster in both forms. `fallback`: what becomes of a document on which the candidate of a canary failed.
    """

    candidate: str
    mode: Mode
    key: str = ""
    steps: list[Step] = []
    ignore: list[str] = []
    abort_if: AbortLimits = AbortLimits()
    min_samples: int = 500
    fallback: Literal["error", "stable"] = "error"
    execute: float = 0.0

    @property
    def expression(self) -> str | None:
        """The key where it is an expression in CEL."""
        plain = self.key in (BY_ID, BY_USER) or self.key.startswith(BY_HEADER)
        return None if plain else self.key

    @property
    def last_step(self) -> int:
        """The position of the last step."""
        return max(len(self.steps) - 1, 0)

    def percent(self, step: int) -> float:
        """The percentage of the keys that a step concerns."""
        return self.steps[min(step, self.last_step)].percent if self.steps else 100.0


class Rollout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored rollout of the pipeline `name`; times in ISO 8601.

    `stable`: the version that was active when it began. `seed`: of the hash of keys, another one for each rollout.
    `step`: the position of the step in force from `step_since` on, unless it is `pending`: whoever wrote it has not
    noted yet that the registry showed it in time. While it is paused, `step_ran` seconds of it had passed; else, so
    many count beside those since it began: less than 0 after a pause. `by`: who changed the state last, `at`: when. Of
    an abort: its `reason`, and the process that judged.
    """

    type: PipelineType
    name: str
    spec: RolloutSpec
    stable: str
    seed: str
    created: str
    created_by: str = ""
    state: State = "running"
    step: int = 0
    step_since: str = ""
    pending: bool = False
    step_ran: float = 0.0
    at: str = ""
    by: str = ""
    reason: str = ""
    judged_by: str = ""

    @property
    def key(self) -> str:
        """The key of its pipeline: type and name."""
        return f"{self.type.value}:{self.name}"

    @property
    def concerns_traffic(self) -> bool:
        """Whether its candidate meets traffic, as long as the stable version is the active one."""
        return self.state in ("running", "paused")

    def percent_at(self, seconds: float) -> float:
        """The percentage of the keys that meet the candidate, or are compared, at a time in seconds since 1970.

        A step is written ahead of the time at which it begins, so that all proxies begin it together; one that is
        pending then has not begun. Before the first one the percentage is 0.
        """
        step = self.step if seconds >= self.since and not self.pending else self.step - 1
        return self.spec.percent(step) if step >= 0 else 0.0

    @property
    def since(self) -> float:
        """When the step begins or began, in seconds since 1970; 0 where that is long ago."""
        return datetime.fromisoformat(self.step_since).timestamp() if self.step_since else 0.0


def parse(body: bytes, kind: PipelineType) -> RolloutSpec:
    """The rollout in a request body for a pipeline of this type, its key filled in. Raises InvalidError."""
    members_of(body)
    try:
        spec = msgspec.json.decode(body, type=RolloutSpec)
    except msgspec.ValidationError as error:
        raise explained(error, RolloutSpec, body) from None
    spec = msgspec.structs.replace(spec, key=spec.key or (BY_ID if kind is PipelineType.DOCUMENT else BY_USER))
    if not VERSION.fullmatch(spec.candidate):
        raise InvalidError(f"[{spec.candidate[:100]}] is no version of a pipeline", "candidate")
    _check_key(spec.key, kind)
    _check_steps(spec)
    _check_mode(spec, kind)
    _check_limits(spec)
    return spec


def _check_key(key: str, kind: PipelineType) -> None:
    if len(key) > MAX_KEY:
        raise InvalidError(f"is longer than {MAX_KEY} characters", "key")
    if key == BY_ID and kind is not PipelineType.DOCUMENT:
        raise InvalidError("[_id] is a key of documents; searches have [user], [header:NAME] or an expression", "key")
    if key.startswith(BY_HEADER) and not _HEADER.fullmatch(key.removeprefix(BY_HEADER)):
        raise InvalidError(f"[{key}] names no header: write [header:X-Session]", "key")


def _check_steps(spec: RolloutSpec) -> None:
    if len(spec.steps) > MAX_STEPS:
        raise InvalidError(f"are {len(spec.steps)}, the limit is {MAX_STEPS}", "steps")
    if not spec.steps and spec.mode == "canary":
        raise InvalidError('required: at least one step, such as {"percent": 1, "for": "10m"}', "steps")
    before = 0.0
    for n, step in enumerate(spec.steps):
        if not 0 < step.percent <= 100:
            raise InvalidError("must be more than 0, and at most 100", f"steps[{n}].percent")
        if step.percent <= before:
            raise InvalidError("must be more than the percentage of the step before", f"steps[{n}].percent")
        before = step.percent
        if step.duration:
            units.seconds(step.duration, f"steps[{n}].for")
        elif n < spec.last_step:
            raise InvalidError("required: only the last step has no end", f"steps[{n}].for")


def _check_mode(spec: RolloutSpec, kind: PipelineType) -> None:
    if len(spec.ignore) > MAX_IGNORED:
        raise InvalidError(f"are {len(spec.ignore)} paths, the limit is {MAX_IGNORED}", "ignore")
    if not 0 <= spec.execute <= 1:
        raise InvalidError("must be a fraction from 0 to 1", "execute")
    if spec.execute and (spec.mode != "shadow" or kind is not PipelineType.QUERY):
        raise InvalidError("is for query pipelines in the mode [shadow]", "execute")
    if spec.mode == "canary" and spec.ignore:
        raise InvalidError("is for the mode [shadow]: a canary compares no documents", "ignore")
    if spec.mode == "canary" and spec.abort_if.diff_rate is not None:
        raise InvalidError("is for the mode [shadow]: a canary compares no documents", "abort_if.diff_rate")
    if spec.mode == "shadow" and spec.abort_if.p99_ratio is not None:
        raise InvalidError("is for the mode [canary]: a shadow has no times of live traffic", "abort_if.p99_ratio")
    if spec.mode == "shadow" and spec.fallback == "stable":
        raise InvalidError("is for the mode [canary]: in [shadow] nobody gets what the candidate made", "fallback")


def _check_limits(spec: RolloutSpec) -> None:
    for name in ("error_rate", "diff_rate", "dropped_rate"):
        rate: float | None = getattr(spec.abort_if, name)
        if rate is not None and not 0 <= rate < 1:
            raise InvalidError("must be a fraction from 0 to less than 1", f"abort_if.{name}")
    ratio = spec.abort_if.p99_ratio
    if ratio is not None and not 1 < ratio <= 1000:
        raise InvalidError("must be more than 1, and at most 1000", "abort_if.p99_ratio")
    if not 1 <= spec.min_samples <= MAX_SAMPLES:
        raise InvalidError(f"must be from 1 to {MAX_SAMPLES}", "min_samples")
