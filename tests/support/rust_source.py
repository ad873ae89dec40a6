"""The engine's Rust source as the house rules read it: its modules, and which of them each one uses."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT

SOURCE = ROOT / "wasm-runtime" / "src"
Module = tuple[str, ...]
"""The path of a module from the crate's root, which is `()`."""

RAW = r'r(?P<hashes>#+)".*?"(?P=hashes)'
CHARACTER = r"(?P<character>'(?:\\.|[^'\\])')"
STRING = r'"(?:\\.|[^"\\])*"'
COMMENT = r"//[^\n]*|/\*.*?\*/"
TEST_CODE = r"(?ms)^#\[cfg\(test\)\]\n(?:mod \w+|impl[^{;]*) \{.*?^\}"


def files() -> dict[Module, str]:
    """The text of every module."""
    return {module_of(path): path.read_text() for path in sorted(SOURCE.rglob("*.rs"))}


def module_of(path: Path) -> Module:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib") else parts


def code(text: str) -> str:
    """`text` without comments, and with empty literals of strings and characters."""
    return re.sub(f"({RAW}|{STRING})|({CHARACTER})|{COMMENT}", blank, text, flags=re.DOTALL)


def blank(found: re.Match[str]) -> str:
    return '""' if found[1] else "' '" if found["character"] else ""


def expanded(tree: str) -> list[str]:
    """The paths of a `use` tree, which may have groups in braces."""
    tree = tree.strip()
    group = re.fullmatch(r"(.*?)\{(.*)\}", tree, re.DOTALL)
    if group is None:
        return [tree.split(" as ")[0].strip()] if tree else []
    paths, depth, part = [], 0, ""
    for char in group[2] + ",":
        depth += {"{": 1, "}": -1}.get(char, 0)
        if char == "," and depth == 0:
            paths += [group[1] + path for path in expanded(part)]
            part = ""
        else:
            part += char
    return paths


def paths(text: str) -> set[str]:
    """Paths that code names: those of `use`, and those that begin at `crate` or `super`."""
    found = {path for tree in re.findall(r"\buse\s+([^;]+);", text) for path in expanded(tree)}
    return found | {m[0] for m in re.finditer(r"(?<![:\w])(?:crate|super)(?:::\w+)+", text)}


def absolute(module: Module, path: str) -> Module | None:
    """Where a path leads that stands in `module`; `None` for one of another crate."""
    head, *rest = path.split("::")
    if head == "crate":
        return tuple(rest)
    if head not in ("super", "self"):
        return None
    base = module if head == "self" else module[:-1]
    while rest and rest[0] == "super":
        base, rest = base[:-1], rest[1:]
    return (*base, *rest)


def uses(modules: dict[Module, str]) -> dict[Module, set[Module]]:
    """Which modules each module uses, tests excepted; a module's own submodules count if it names them."""
    edges: dict[Module, set[Module]] = {}
    for module, text in modules.items():
        text = code(re.sub(TEST_CODE, "", text))
        inner = {name[-1] for name in modules if name[:-1] == module and name}
        named = {f"self::{name}" for name in re.findall(r"(?<![:\w])(\w+)::[\w{<]", text) if name in inner}
        targets = (absolute(module, path) for path in paths(text) | named)
        edges[module] = {file_of(target, modules) for target in targets if target is not None} - {module}
    return edges


def file_of(target: Module, modules: dict[Module, str]) -> Module:
    """The module in whose file a path ends."""
    while target not in modules:
        target = target[:-1]
    return target


def circles(edges: dict[Module, set[Module]]) -> list[set[Module]]:
    """Sets of modules each of which uses, by way of others, each other one."""
    reached = {module: reach(module, edges) for module in edges}
    found: list[set[Module]] = []
    for module in edges:
        circle = {other for other in reached[module] if module in reached.get(other, ())}
        if len(circle) > 1 and circle not in found:
            found.append(circle)
    return found


def reach(module: Module, edges: dict[Module, set[Module]]) -> set[Module]:
    seen: set[Module] = set()
    left = [module]
    while left:
        for target in edges.get(left.pop(), ()):
            if target not in seen:
                seen.add(target)
                left.append(target)
    return seen


def functions(text: str) -> list[tuple[str, int]]:
    """The functions of a formatted file: the name of each, and its lines."""
    found = []
    lines = text.splitlines()
    for at, line in enumerate(lines):
        head = re.match(r"( *)(?:pub(?:\([a-z]+\))? )?(?:const |unsafe |extern \"C\" )*fn (\w+)", line)
        if head is None:
            continue
        for end in range(at, len(lines)):
            if lines[end].startswith(head[1] + "}") or (end == at and line.endswith(("}", ";"))):
                found.append((head[2], end - at + 1))
                break
            if lines[end] == head[1] + ";" or (lines[end].endswith(";") and lines[end].startswith(head[1] + ")")):
                break
    return found


ITEM = r"\b(?:fn|struct|enum|trait|type|const|static|mod|union)\s+(\w+)"
TYPED = r"(?<![:\w])([a-z_]\w*)\s*:(?!:)"
"""A field or a parameter."""
VARIANT = r"^\s+([A-Z]\w*)(?=\(|\s*\{|,| =|$)"
SHORT_ENUM = r"\benum \w+ \{ ([^{}]*) \}"
PATTERNS = (
    r"\blet\s+(.*?)\s*=[^=>]",
    r"\bfor\s+(.*?)\s+in\b",
    r"(?<![|\w])\|([^|]*)\|(?!\|)",
    r"^\s+([^=\n]*?)(?:\s+if\b[^\n]*)?\s=>",
)
"""Of `let`, `for`, closures and arms of `match`."""
BOUND = r"(?<![\w:.'])([a-z_]\w*)(?!\w*\s*(?:::|\(|!|:|\.))"


def defined(text: str) -> set[str]:
    """Names that a file defines: items, fields, variants, parameters and bindings."""
    plain = re.sub(r"\buse [^;]*;", "", code(text))
    names = {name for pattern in (ITEM, TYPED, VARIANT) for name in re.findall(pattern, plain, re.MULTILINE)}
    for variants in re.findall(SHORT_ENUM, plain):
        names |= set(re.findall(r"(?:^|, )(\w+)", variants))
    for pattern in PATTERNS:
        for found in re.findall(pattern, plain, re.MULTILINE | re.DOTALL if pattern == PATTERNS[0] else re.MULTILINE):
            names |= set(re.findall(BOUND, found))
    return names - {"_", "self", "Self", "mut", "ref", "if", "let"}


def words(name: str) -> set[str]:
    """The words of an identifier in snake or camel case, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)}
