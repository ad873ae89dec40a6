"""Samples as files of test cases."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from headrace.ui.trials.runs import Trial
    from headrace.ui.trials.samples import Sample


def case_text(pipeline: dict[str, Any], sample: Sample, trial: Trial, number: int) -> str:
    """A sample as a file for `headrace test`: what the run made of it is what is expected."""
    entry: dict[str, Any] = {"name": f"sample {number}"}
    if pipeline["type"] == "document":
        entry["docs"] = [sample.input if sample.value.keys() == {"_source"} else sample.value]
    else:
        entry["request" if pipeline["type"] == "query" else "response"] = sample.value
    if trial.error:
        entry["expect_error"] = {"type": trial.error["type"], "stage": trial.error.get("stage", "")}
    elif not trial.outputs:
        entry["dropped"] = True
    else:
        entry["expect"] = trial.outputs if pipeline["type"] == "document" else trial.outputs[0]
    return yaml.dump(
        {"pipeline": pipeline["name"], "cases": [entry]}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120
    )


class _Dumper(yaml.SafeDumper):
    """Writes numbers with all their digits."""


def _number(dumper: yaml.SafeDumper, number: Decimal) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", str(number).lower())


_Dumper.add_representer(Decimal, _number)
