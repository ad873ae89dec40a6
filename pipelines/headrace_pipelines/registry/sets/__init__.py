"""Sets: objects of the registry that are applied together, and come in force together.

- `merge` makes the records in force of what is stored by hand and of what sets have;
- `choice` finds the versions that a set is to have, stored ones or new ones;
- `checks` finds the faults of a plan;
- `plan` is the next revision of a set, compiled with everything else.
"""

from headrace_pipelines.registry.sets.checks import labels_of, needed
from headrace_pipelines.registry.sets.choice import Content, Fault, Upload
from headrace_pipelines.registry.sets.merge import merged
from headrace_pipelines.registry.sets.plan import MOST_REVISIONS, Basis, Change, Plan, Planner, converted

__all__ = [
    "MOST_REVISIONS",
    "Basis",
    "Change",
    "Content",
    "Fault",
    "Plan",
    "Planner",
    "Upload",
    "converted",
    "labels_of",
    "merged",
    "needed",
]
