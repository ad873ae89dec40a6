"""Draws regular expressions of either language, and texts for them: most are taken, some are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

PLAIN = ["a", "b", "c", "ab", "é", "É", "k", "K", "s", "ß"]
SHARED = r". \w \W \d \s \S \h \H \R \X [ab] [^a] [a-c] [a-c&&[^b]] [^\d\s] [[a][b]] \p{Alpha} \p{L} \p{Lu} \P{L}".split()
SHARED += r"\x41 \t \n \. 1 - ^ $ \b \B \A \z \Z \G 😀 [😀é] \e } ] (?i) (?-i) (?x) (?i:k) \k<n> [é-ü] [A-C] _ \r # [-a] [a-]".split()
JAVA = [*SHARED, " ", *r"\v \V [\w-.] [a&&b] \p{IsAlphabetic} \p{InGreek} \p{IsLatin} \p{javaLowerCase} \p{Punct} \pL".split()]
JAVA += r"\x{e9} \u00e9 \0101 \cA \Qa.b\E \Q[\E (?s) (?m) (?u) (?U) (?d) (?iu:É) \1 \2 [\]] \p{script=Greek} \p{gc=Lu}".split()
RUBY = [*SHARED, " ", *r"\p{^Lu} \p{Greek} \p{Latin} [[:alpha:]] [[:punct:]] [[:^digit:]] [[:word:]a] [[:upper:]] \101".split()]
RUBY += r"(?m) (?u:\w) (?a:\w) (?d:\w) []a] [\b] \K (?~b) (?#x) { \Q \y (?(<n>)a|b) [^\W] [a-c&&b-d] \v \0 \p{Word}".split()
JAVA_BAD = r"[^] [a \y [z-a] \p{Foo} \x4 \u12 \p{InFoo} \k<zz> (?y) { a{2 a{1,0} ** (?<1>x)".split()
RUBY_BAD = r"[a [z-a] \p{Foo} (?s) [[:foo:]] \k<zz> \1 [a-\d] [\w-.] * (?<>x) (?<1>x)".split()
COUNTS = ["", "", "", "", "", "", "*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,2}", "{2,}", "{0,2}?"]
OPENED = ["(", "(", "(?:", "(?:", "(?=", "(?!", "(?>", "(?<n>", "(?i:"]
PIECES = ["a", "b", "c", "ab", "abc", "aab", "é", "É", "k", "K", "\u212a", "s", "S", "ß", "ẞ", "ſ", "1", "23", "-", ".", " "]
PIECES += ["\t", "\n", "\r", "\r\n", "\x85", "\u2028", "\x01", "A", "B", "α", "e\u0301", "\u0301", "😀", "_", "\xa0", "\u3000"]
PIECES += ["[", "{", "x", "٣", "ı", "İ", "ǅ", "\x1b", "$", "+"]


def expression(random: Random, language: str, depth: int = 0) -> str:
    """An expression of `java` or `ruby`; a group `n` is there at most once in Java's."""
    atoms, bad = (JAVA, JAVA_BAD) if language == "java" else (RUBY, RUBY_BAD)
    parts = []
    for _ in range(random.choice([1, 1, 2, 2, 3, 4])):
        if random.random() < 0.62 or depth > 2:
            plain = PLAIN if random.random() < 0.4 else atoms
            part = random.choice(bad if random.random() < 0.02 else plain)
        elif random.random() < 0.2:
            part = random.choice(["(?<=", "(?<!"]) + random.choice(PLAIN) + random.choice(atoms[:12]) + ")"
        else:
            part = random.choice(OPENED) + expression(random, language, depth + 1) + ")" * (random.random() < 0.99)
        parts.append(part + random.choice(COUNTS))
    made = "".join(parts)
    return made + "|" + random.choice(PLAIN) if random.random() < 0.2 else made


def text(random: Random) -> str:
    """A short text out of what expressions are made of."""
    pieces = PIECES[:9] if random.random() < 0.5 else PIECES
    return "".join(random.choice(pieces) for _ in range(random.randint(0, 8)))
