"""Which holder of a slot counts (docs/reference/pipelines.md, "Which pipelines apply")."""

from __future__ import annotations

from headrace_pipelines.definition import PipelineType
from headrace_pipelines.registry.association import (
    Association,
    Associations,
    Pattern,
    Period,
    Slot,
    Slots,
    Target,
    Template,
)

DOCUMENT, QUERY = Slot(PipelineType.DOCUMENT), Slot(PipelineType.QUERY)
FINAL = Slot(PipelineType.DOCUMENT, final=True)


def made(**parts) -> Associations:
    given = {"indexes": [], "patterns": [], "templates": [], "defaults": Slots(), **parts}
    return Associations.of(**given)


def test_the_nearest_holder_of_each_slot_counts():
    all_of_them = made(
        indexes=[Association(index="logs-a", document="own")],
        patterns=[
            Pattern(pattern="logs-*", document="wide", document_final="audit"),
            Pattern(pattern="*", query="any"),
        ],
        defaults=Slots(document="standard", result="seen"),
    )
    own = Target("logs-a")
    assert all_of_them.find(DOCUMENT, own) == ("own", "index", "logs-a")
    assert all_of_them.find(FINAL, own) == ("audit", "pattern", "logs-*")
    assert all_of_them.find(QUERY, own) == ("any", "pattern", "*")
    assert all_of_them.find(Slot(PipelineType.RESULT), own) == ("seen", "default", "settings of this proxy")
    assert all_of_them.find(DOCUMENT, Target("logs-b")) == ("wide", "pattern", "logs-*")
    assert all_of_them.find(DOCUMENT, Target("other")) == ("standard", "default", "settings of this proxy")


def test_of_several_patterns_the_highest_priority_counts_and_then_the_name():
    patterns = [
        Pattern(pattern="a*", document="low", priority=1),
        Pattern(pattern="ab*", document="high", priority=9),
        Pattern(pattern="aa*", document="same", priority=9),
    ]
    found = made(patterns=patterns)
    assert found.find(DOCUMENT, Target("abc")).name == "high"
    assert found.find(DOCUMENT, Target("aab")).name == "same"
    assert found.find(DOCUMENT, Target("ac")).name == "low"


def test_none_is_an_answer_and_dot_names_obey_no_pattern():
    found = made(
        indexes=[Association(index="a", document="_none"), Association(index=".own", document="x")],
        patterns=[Pattern(pattern="*", document="all", document_final="audit")],
        defaults=Slots(document="standard"),
    )
    assert found.find(DOCUMENT, Target("a")) is None
    assert found.find(FINAL, Target("a")).name == "audit"
    assert found.find(DOCUMENT, Target(".kibana")) is None
    assert found.find(DOCUMENT, Target(".own")).name == "x"


def test_an_index_keeps_what_its_template_held_when_it_was_created():
    template = Template(kind="index", name="t", periods=[Period(since=100, document="v1")])
    template = template.changed(Slots(document="v2"), 200).changed(Slots(), 300)
    found = made(templates=[template], patterns=[Pattern(pattern="*", document="pattern")])

    def name(created: int | None) -> str:
        return found.find(DOCUMENT, Target("a", created, ["index:t"])).name

    assert [name(n) for n in (50, 100, 199, 200, 299, 300, None)] == [
        "pattern",
        "v1",
        "v1",
        "v2",
        "v2",
        "pattern",
        "pattern",
    ]
    assert template.changed(Slots(), 400) is template
    assert found.bound(DOCUMENT)
    assert not made(templates=[template]).users(PipelineType.DOCUMENT, "v2")
    assert made(templates=[template.changed(Slots(document="v3"), 500)]).users(PipelineType.DOCUMENT, "v3") == [
        "index template [t]"
    ]


def test_of_several_templates_the_strongest_that_says_something_counts():
    templates = [
        Template(kind="component", name="c", periods=[Period(since=0, document="c", query="c")]),
        Template(kind="index", name="t", periods=[Period(since=0, document="t")]),
    ]
    found = made(templates=templates)
    target = Target("a", 5, ["index:t", "component:c"])
    assert (found.find(DOCUMENT, target).name, found.find(QUERY, target).name) == ("t", "c")
