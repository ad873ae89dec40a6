"""Rules of the house for the Rust source that the compiler does not know: which folder uses which, and how large what is."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.support.rust_source import TEST_CODE, Module, circles, defined, files, functions, uses, words

LAYERS = [
    ["bulk"],
    ["pipeline"],
    ["native", "udf"],
    ["document"],
    ["json", "regex"],
    ["engine"],
    ["stats", "http1", "quota"],
    ["error"],
]
"""Each folder uses those of lower layers only; two of one layer do not use each other. `lib.rs` uses all."""

ONLY_LIB_USES = {"http1", "quota"}


TESTS = ("alloc_tests",)
"""A module of tests, which may use all."""


def may_use(folder: str) -> set[str]:
    level = next(n for n, layer in enumerate(LAYERS) if folder in layer)
    return {folder, *(below for layer in LAYERS[level + 1 :] for below in layer if below not in ONLY_LIB_USES)}


def upward(modules: dict[Module, str]) -> list[str]:
    """Uses that the law does not allow, those of the crate's root among them."""
    return [
        f"{'::'.join(module)} -> {'::'.join(target) or 'crate'}"
        for module, targets in uses(modules).items()
        for target in targets
        if module and module != TESTS and (target[:1] or ("crate",))[0] not in may_use(module[0])
    ]


def test_folders_use_only_those_below_them():
    modules = files()
    folders = {module[0] for module in modules if module and module != TESTS}
    assert len(folders) > 8
    assert folders <= {folder for layer in LAYERS for folder in layer}
    assert upward(modules) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        (("json",), "use crate::pipeline::batch::Batch;"),
        (("json", "scan"), "use super::super::document::Doc;"),
        (("native", "set"), "fn f() { crate::udf::invoke::f() }"),
        (("error",), "use crate::{json, stats};"),
        (("udf",), "pub use super::native::Native;"),
        (
            ("engine", "limits"),
            "use crate::{\n    error::{self, Fault},\n    udf::{module, sandbox::{self, Sandbox}},\n};",
        ),
        (("stats",), "fn f(_: &crate::bulk::Bulk) {}"),
        (("document",), "use crate::fit_for_python;"),
    ],
)
def test_a_use_of_a_folder_above_is_found(module, line):
    modules = files()
    modules[module] += "\n" + line + "\n"
    found = upward(modules)
    assert found
    assert all(edge.startswith("::".join(module) + " -> ") for edge in found)


def test_comments_texts_and_tests_are_no_uses():
    modules = files()
    modules[("error",)] += '\n// crate::bulk\nconst S: &str = "crate::bulk";\n/// [`crate::bulk::Bulk`]\nfn f() {}\n'
    assert upward(modules) == []


LARGEST_CIRCLE = 2
"""Files that may use each other: a type and the part of its methods that another file has."""

CIRCLES = [{("native",), ("native", "foreach"), ("native", "support", "handled")}]
"""Of a `foreach` the processor is any built-in: the catalogue names `foreach`, and `foreach` asks the catalogue."""


def test_files_use_each_other_in_one_direction():
    # `http1` still shares its types by its `mod.rs`.
    outside = {module: text for module, text in files().items() if module[:1] != ("http1",)}
    found = [circle for circle in circles(uses(outside)) if len(circle) > LARGEST_CIRCLE]
    assert found == CIRCLES


def test_a_circle_of_three_files_is_found():
    modules = files()
    modules[("json", "lex")] += "\nuse crate::json::change::merge;\n"
    found = [circle for circle in circles(uses(modules)) if {("json", "lex"), ("json", "change")} <= circle]
    assert found


MOST_LINES = 400
MOST_MODULES = 12
CATALOGUES = {("native",)}
"""One file for each built-in."""


def test_files_are_short_and_folders_small():
    modules = files()
    assert [module for module, text in modules.items() if len(text.splitlines()) > MOST_LINES] == []
    folders = Counter(module[:-1] for module in modules if module and module[-1] not in ("tests", *TESTS))
    assert [folder for folder, count in folders.items() if count > MOST_MODULES and folder not in CATALOGUES] == []


BANNED = {
    "known",
    "place",
    "take",
    "give",
    "put",
    "look",
    "begin",
    "made",
    "one",
    "other",
    "several",
    "alone",
    "together",
}
"""Everyday words that say nothing about what a name is of: use the term of the field."""

KEPT_NAMES = {
    "put_back": "a method of `Batch` in Python",
    "take_notes": "a method of `Batch` in Python",
}


def everyday(text: str) -> set[str]:
    """Names that a file defines and that are made of a banned word; a test's name is a sentence."""
    text = re.sub(r"#\[test\]\n(?:\s*#.*\n)*\s*fn \w+", "", text)
    return {name for name in defined(text) if words(name) & BANNED}


def test_names_are_terms():
    modules = files()
    found = {name for text in modules.values() for name in everyday(text)}
    assert found == set(KEPT_NAMES)


@pytest.mark.parametrize(
    "line",
    [
        "fn take_over() {}",
        "pub(crate) struct Known<'a>(&'a [u8]);",
        "enum E { A, Made(u8) }",
        "    Other,",
        "const MOST_MADE: usize = 1;",
        "let mut place = 1;",
        "let (first, others_place) = f();",
        "fn f(one: &[u8]) {}",
        "struct S { put: u8 }",
        "for look in all {}",
        "all.map(|begin| 1)",
        "if let Some(several) = f() {}",
        "mod alone;",
        "type Together = u8;",
        "    Some((_, known)) if known.is_empty() => 1,",
        "all.fold(0, |sum, (made, _)| sum + made);",
        "let Pair { left: one, .. } = pair;",
        "    match f() { Some(look) => 1,",
    ],
)
def test_a_name_that_is_an_everyday_word_is_found(line):
    assert everyday("fn g() {}\n" + line + "\n")


def test_names_of_others_are_not_ours():
    assert not everyday('let kept = slot.take(); // take one\nlet text = "known"; std::mem::take(&mut kept);\n')


LONGEST_FUNCTION = 40
LONGER_FUNCTIONS = {
    "bulk::action::parse_action": "one arm for each parameter of an action line",
    "bulk::documents::documents": "one arm for each outcome of an action",
    "bulk::parser::parse": "the loop over lines: its parts share eight variables",
    "bulk::response::merged": "the members of an answer in their order",
    "document::response::hits::implode": "the edits of one list depend on each other",
    "document::response::unreadable::value_end": "a scanner: one arm for each character",
    "engine::metering::parse_function_body": "one arm for each kind of operator",
    "json::change::set_members": "one pass over the text",
    "json::filter_path::filter_value": "one arm for each kind of value",
    "native::fit_mapping::leaf::check_own": "one arm for each type of field",
    "native::fingerprint::apply": "the digest over the fields in their order",
    "native::foreach::apply": "the loop over elements, with the state before and after",
    "native::html_strip::tags::next": "a scanner: one arm for each character",
    "native::support::hit::rewrite": "the two forms of a hit's field",
    "pipeline::apply::write": "one arm for each effect",
    "pipeline::batched::in_chunks": "the loop over chunks: its parts share six variables",
    "pipeline::condition::costs::of": "one arm for each kind of expression",
    "regex::java::class::class_of": "the grammar of a class",
    "regex::java::class::item": "the grammar of a class",
    "regex::java::group": "one arm for each kind of group",
    "regex::java::sequence": "one arm for each construct",
    "regex::machine::step_once": "one arm for each operation of the machine",
    "regex::program::repeat": "one arm for each kind of repetition",
    "regex::ruby::class::class": "the grammar of a class",
    "regex::ruby::finish::node": "one arm for each node",
    "regex::ruby::finish::reaches": "one arm for each node",
    "regex::ruby::quantifier::repeated": "the grammar of a quantifier",
    "udf::host::wasi::stub": "the table of stubs",
}
"""Functions over the limit, with the reason why each is one piece. A new one needs a reason; one that is split leaves the list."""


def test_functions_are_short():
    modules = {module: text for module, text in files().items() if module[-1:] not in (("tests",), TESTS)}
    counted = [
        ("::".join((*module, name)), length)
        for module, text in modules.items()
        for name, length in functions(re.sub(TEST_CODE, "", text))
    ]
    assert len(counted) > 1000
    assert {name for name, length in counted if length > LONGEST_FUNCTION} == set(LONGER_FUNCTIONS)


def test_the_length_of_a_function_is_that_of_its_text():
    body = "    let a = 1;\n" * 41
    assert functions(f"impl A {{\n    pub(crate) fn long(\n        a: u8,\n    ) {{\n{body}    }}\n}}\n") == [
        ("long", 45)
    ]
    assert functions("fn f() {}\ntrait T {\n    fn g(&self);\n}\n") == [("f", 1), ("g", 1)]
