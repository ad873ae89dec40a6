"""Lines of logs with personal data and secrets in them, and with what only looks so. Drawn with a seed."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = [
    "user",
    "account",
    "profile",
    "login",
    "failed",
    "succeeded",
    "request",
    "served",
    "cache",
    "miss",
    "retry",
    "worker",
    "started",
    "queue",
    "drained",
    "payment",
    "accepted",
    "refund",
    "issued",
    "email",
    "sent",
    "notification",
    "customer",
    "support",
    "ticket",
    "closed",
    "Größe",
    "café",
    "Überweisung",
    "データ",
    "更新",
    "ошибка",
    "соединения",
]
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
IBANS = {"DE": 18, "FR": 23, "GB": 18, "NL": 14, "ES": 20, "CH": 17, "AT": 16, "BE": 12, "PL": 24, "SE": 20, "NO": 11}
"""Characters behind country and checksum, all digits but for the bank in GB and NL."""
PHONES = {
    "+1": ("415555", 4), "+44": ("2079460", 3), "+49": ("30901", 6), "+33": ("142685", 3), "+34": ("912345", 3),
    "+91": ("98765", 5), "+81": ("312345", 3), "+86": ("138001", 5), "+55": ("119876", 5), "+61": ("298765", 3),
}  # fmt: skip
"""Calling codes, the first digits of numbers that are in use there, and the number of digits behind them."""


class Line(NamedTuple):
    """A line, the name of its field, and what is to be found in it: name of the detector and text."""

    key: str
    text: str
    found: list[tuple[str, str]]


def luhn(digits: str) -> str:
    """The check digit of a card."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def digits(draw: random.Random, count: int) -> str:
    return "".join(draw.choices(string.digits, k=count))


def card(draw: random.Random) -> str:
    prefix, length = draw.choice(
        [("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16), ("65", 16), ("3530", 16), ("36", 14), ("62", 16)]
    )  # fmt: skip
    body = prefix + digits(draw, length - len(prefix) - 1)
    number = body + luhn(body)
    if length == 16 and draw.random() < 0.5:
        return draw.choice(" -").join(number[at : at + 4] for at in range(0, 16, 4))
    return number


def iban(draw: random.Random) -> str:
    country = draw.choice(list(IBANS))
    rest = digits(draw, IBANS[country])
    if country in ("GB", "NL"):
        rest = "".join(draw.choices(string.ascii_uppercase, k=4)) + rest[4:]
    number = "".join(str(int(c, 36)) for c in f"{rest}{country}00")
    whole = f"{country}{98 - int(number) % 97:02d}{rest}"
    return " ".join(whole[at : at + 4] for at in range(0, len(whole), 4)) if draw.random() < 0.5 else whole


def email(draw: random.Random) -> str:
    local = draw.choice(["ann", "bob.smith", "c-d", "info+tag", "x_1", "o'neil"]) + digits(draw, draw.randrange(3))
    host = draw.choice(
        ["example.com", "mail.example.co.uk", "firma.de", "sub.domain.info", "xn--mnchen-3ya.de", "uni.museum"]
    )
    return f"{local}@{host}"


def phone(draw: random.Random) -> str:
    code = draw.choice(list(PHONES))
    first, more = PHONES[code]
    number = first + digits(draw, more)
    if code == "+1":
        number = f"415555{draw.randrange(1000, 9999)}"
    form = draw.randrange(3)
    if form == 0:
        return code + number
    sign = " " if form == 1 else "-"
    return sign.join([code, number[:3], number[3:6], number[6:]])


def ipv4(draw: random.Random) -> str:
    return (
        ".".join(str(draw.randrange(1, 255)) for _ in range(4)).replace("127.", "128.", 1).replace("255.255.", "254.")
    )


def ipv6(draw: random.Random) -> str:
    groups = [f"{draw.randrange(1, 65536):x}" for _ in range(8)]
    return ":".join(groups) if draw.random() < 0.5 else f"2001:db8::{groups[0]}:{groups[1]}"


def mac(draw: random.Random) -> str:
    return draw.choice(":-").join(f"{draw.randrange(1, 256):02x}" for _ in range(6))


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def jwt(draw: random.Random) -> str:
    claims = {"sub": digits(draw, 8), "exp": draw.randrange(10**9)}
    return f"{_encoded({'alg': 'RS256', 'typ': 'JWT'})}.{_encoded(claims)}.{draw.randbytes(32).hex()}"


def _base62(draw: random.Random, count: int) -> str:
    return "".join(draw.choices(BASE62, k=count))


def github(draw: random.Random) -> str:
    value = _base62(draw, 30)
    number, check = zlib.crc32(value.encode()), ""
    for _ in range(6):
        check, number = BASE62[number % 62] + check, number // 62
    return draw.choice(["ghp_", "gho_", "ghs_", "npm_"]) + value + check


def secret_key(draw: random.Random) -> str:
    return draw.choice(
        [
            lambda: "AKIA" + "".join(draw.choices(string.ascii_uppercase + "234567", k=16)),
            lambda: github(draw),
            lambda: "AIza" + _base62(draw, 35),
            lambda: "sk_live_" + _base62(draw, 24),
            lambda: "xoxb-" + digits(draw, 12) + "-" + _base62(draw, 24),
            lambda: "glpat-" + _base62(draw, 20),
        ]
    )()


PERSONAL: dict[str, Callable[[random.Random], str]] = {
    "email": email, "credit_card": card, "iban": iban, "phone": phone, "ip": lambda draw: draw.choice([ipv4, ipv6])(draw),
    "mac": mac, "jwt": jwt, "secret_key": secret_key,
}  # fmt: skip
AROUND = {
    "email": ["to <{}>", "contact {}, please", "user={};", "{}"],
    "credit_card": [
        "card {} accepted",
        "paid with {}",
        "pan={}",
        "{}",
        "visa: {}.",
        "{} 12/29",
        "{} 123",
        "card {}, 100 EUR",
        "{} 100 EUR",
    ],
    "iban": ["IBAN {}", "transfer to {}.", "{}", "account={},"],
    "phone": ["call {} today", "tel:{}", "{}", "phone {}.", "{}, 22 s"],
    "ip": ["from {} port 22", "client {}", "[{}]", "{} - - GET /"],
    "mac": ["station {} joined", "hwaddr={}", "{}"],
    "jwt": ["Authorization: Bearer {}", "token={}", "{}"],
    "secret_key": ["key={}", 'export TOKEN="{}"', "{}"],
}
TRAPS: list[Callable[[random.Random], str]] = [
    lambda draw: str(uuid.UUID(bytes=draw.randbytes(16), version=4)),
    lambda draw: f"order {digits(draw, 16)}",
    lambda draw: f"tracking 4{digits(draw, 15)}",
    lambda draw: f"orderId=5{draw.randrange(1, 6)}{digits(draw, 14)}",
    lambda draw: f"trace_id={draw.randbytes(16).hex()} span_id={draw.randbytes(8).hex()}",
    lambda draw: f"sha256:{hashlib.sha256(draw.randbytes(8)).hexdigest()}",
    lambda draw: hashlib.md5(draw.randbytes(8)).hexdigest(),
    lambda draw: f"ts={draw.randrange(16 * 10**11, 18 * 10**11)}",
    lambda draw: f"nanos {draw.randrange(16 * 10**17, 18 * 10**17)}",
    lambda draw: f"20{draw.randrange(10, 30)}-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}T12:{draw.randrange(60):02d}:{draw.randrange(60):02d}.{digits(draw, 6)}+01:00",
    lambda draw: f"Mozilla/5.0 (X11; Linux x86_64) Chrome/{draw.randrange(90, 140)}.0.{draw.randrange(255)}.{draw.randrange(255)} Safari/537.36",
    lambda draw: f"version {draw.randrange(9)}.{draw.randrange(99)}.{draw.randrange(99)}.{draw.randrange(99)}",
    lambda draw: f"v{draw.randrange(9)}.{draw.randrange(99)}.{draw.randrange(99)}.{draw.randrange(99)}",
    lambda draw: "listening on 127.0.0.1:9200 and [::1]:9200, 0.0.0.0",
    lambda draw: f"npm install lodash@{draw.randrange(9)}.{draw.randrange(99)}.{draw.randrange(99)}",
    lambda draw: f"asset logo-{draw.randrange(9)}@2x.png loaded",
    lambda draw: f"std::map<int, ns::Type>::find at {draw.randbytes(4).hex()}",
    lambda draw: f"fingerprint {':'.join(f'{byte:02x}' for byte in draw.randbytes(16))}",
    lambda draw: f"offset +{draw.randrange(10**6)} size {digits(draw, 15)}",
    lambda draw: f"price {draw.randrange(999)}.{digits(draw, 16)}",
    lambda draw: f"eyJ{_base62(draw, 40)} is base64",
    lambda draw: f"ghp_{_base62(draw, 36)}",
    lambda draw: f"isbn 978-{digits(draw, 1)}-{digits(draw, 4)}-{digits(draw, 4)}-{digits(draw, 1)}",
    lambda draw: f"oid 1.3.6.1.4.1.{draw.randrange(9999)}",
    lambda draw: f"GB{digits(draw, 2)} order DE{digits(draw, 6)}",
    lambda draw: f"session {_base62(draw, 24)} id {digits(draw, 15)}",
    lambda draw: f"at {draw.randrange(24):02d}:{draw.randrange(60):02d}:{draw.randrange(60):02d} took 00:00:{draw.randrange(60):02d}",
]  # fmt: skip


def line(draw: random.Random) -> Line:
    """One line: words, and a third of the time something personal, more often a trap."""
    parts = [" ".join(draw.choices(WORDS, k=draw.randrange(1, 8)))]
    found = []
    for _ in range(draw.randrange(3)):
        if draw.random() < 0.5:
            name = draw.choice(list(PERSONAL))
            text = PERSONAL[name](draw)
            parts.append(draw.choice(AROUND[name]).format(text))
            found.append((name, text))
        else:
            parts.append(draw.choice(TRAPS)(draw))
        parts.append(" ".join(draw.choices(WORDS, k=draw.randrange(1, 6))))
    return Line(draw.choice(["message", "log", "text", "event.original"]), " | ".join(parts), found)


def lines(seed: int, count: int) -> list[Line]:
    """So many lines, the same for a seed."""
    draw = random.Random(seed)
    return [line(draw) for _ in range(count)]
