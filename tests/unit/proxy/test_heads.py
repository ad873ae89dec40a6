"""Heads that are like one before: what counts as like, and where a parser is known to be between two messages."""

from __future__ import annotations

import asyncio
import random
from itertools import accumulate
from typing import Any

import pytest
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpResponseParser
from aiohttp.streams import EMPTY_PAYLOAD

from headrace.http1.heads import IN_CHUNKS, IN_HEAD, Heads, Place

POST = b"POST /i/_search HTTP/1.1\r\nHost: h\r\nContent-Length: %b\r\nAccept: */*\r\n\r\n"
GET = b"GET /i/_doc/1 HTTP/1.1\r\nHost: h\r\n\r\n"


class Protocol:
    """What a parser wants of a connection."""

    def pause_reading(self) -> None: ...

    def resume_reading(self, resume_parser: bool = True) -> None: ...


def request_parser(loop: asyncio.AbstractEventLoop) -> Any:
    return HttpRequestParser(Protocol(), loop, 1 << 18, max_line_size=16384, auto_decompress=False)


def response_parser(loop: asyncio.AbstractEventLoop) -> Any:
    return HttpResponseParser(Protocol(), loop, 1 << 18, read_until_eof=True, auto_decompress=False)


def learned(*heads: bytes, parser: Any = request_parser) -> Heads[bytes]:
    """Heads that know these, each with itself as its meaning."""
    loop = asyncio.new_event_loop()
    known: Heads[bytes] = Heads()
    for head in heads:
        [(message, _)] = parser(loop).feed_data(head)[0]
        known.learn(head, message.raw_headers, head)
    loop.close()
    return known


@pytest.mark.parametrize("digits", [b"1", b"17", b"0", b"007", b"123456789"])
def test_another_length_is_alike(digits: bytes):
    head, other = POST % b"12", POST % digits
    assert learned(head).find(other + b"body") == (head, len(other), int(digits))


UNLIKE = {
    "another method": (POST % b"12").replace(b"POST", b"PUT"),
    "another target": (POST % b"12").replace(b"/i/", b"/j/"),
    "another version": (POST % b"12").replace(b"1.1", b"1.0"),
    "one more header": (POST % b"12").replace(b"\r\n\r\n", b"\r\nX: y\r\n\r\n"),
    "one less": (POST % b"12").replace(b"Accept: */*\r\n", b""),
    "another value": (POST % b"12").replace(b"*/*", b"*/x"),
    "another case": (POST % b"12").replace(b"Host", b"host"),
    "a bare line feed": (POST % b"12").replace(b"\r\n\r\n", b"\n\n"),
    "a sign": POST % b"+12",
    "a negative one": POST % b"-12",
    "a space behind it": POST % b"12 ",
    "a space before it": POST % b" 12",
    "two": POST % b"1 2",
    "a list": POST % b"12,12",
    "a separator": POST % b"1_2",
    "hexadecimal": POST % b"0x12",
    "no digit": POST % b"",
    "digits of elsewhere": POST % "٣".encode(),
    "more digits than a length has": POST % b"1234567890",
    "a second one": POST % b"12\r\nContent-Length: 13",
    "no body": GET,
    "the beginning only": (POST % b"12")[:-1],
    "next to nothing": b"P",
}


@pytest.mark.parametrize("head", UNLIKE.values(), ids=list(UNLIKE))
def test_any_other_head_is_not(head: bytes):
    assert learned(POST % b"12").find(head) is None


def test_a_head_without_a_length_is_itself_alone():
    known = learned(GET)
    assert known.find(GET + b"GET /") == (GET, len(GET), 0)
    assert known.find(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n")) is None


NOT_KEPT = {
    "chunks": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "expectation": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
    "long": b"POST / HTTP/1.1\r\nHost: h\r\nX: %b\r\nContent-Length: 1\r\n\r\n" % (b"a" * 4096),
}


@pytest.mark.parametrize("head", NOT_KEPT.values(), ids=list(NOT_KEPT))
def test_what_has_to_be_parsed_each_time_is_not_kept(head: bytes):
    assert learned(head).find(head + b"x") is None


def test_the_length_is_found_however_it_is_written():
    for line in (b"content-length: 12", b"CONTENT-LENGTH:12", b"Content-Length:   12"):
        head = (
            b"POST /content-length:/5 HTTP/1.1\r\nHost: content-length: 7\r\n%b\r\nX: content-length: 3\r\n\r\n" % line
        )
        found = learned(head).find(head.replace(line, line.replace(b"12", b"345")))
        assert found is not None
        assert found.length == 345


def test_an_answer_with_two_lengths_is_not_kept():
    # aiohttp's parser refuses it today, so that it is told of one.
    known: Heads[None] = Heads()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"
    known.learn(head, ((b"Content-Length", b"1"), (b"Content-Length", b"1")), None)
    assert known.find(head + b"x") is None


def test_the_last_eight_are_known():
    heads = [GET.replace(b"/1 ", b"/%d " % n) for n in range(10)]
    known = learned(*heads[:8])
    # The one that was found last is the last to go.
    assert known.find(heads[0]) is not None
    for head in heads[8:]:
        known.learn(head, ((b"Host", b"h"),), head)
    assert [n for n, head in enumerate(heads) if known.find(head)] == [0, 3, 4, 5, 6, 7, 8, 9]


def test_who_never_sends_the_same_head_is_not_listened_to_for_long():
    known = learned()

    def comes(n: int) -> bool:
        head = GET.replace(b"/1 ", b"/%d " % n)
        found = known.find(head) is not None
        if not found and known.learning:
            known.learn(head, ((b"Host", b"h"),), head)
        return found

    assert not any(comes(n) for n in range(15))
    # One that comes again, and it begins anew. Not all were kept, but soon one that comes again and again is.
    assert [n for n in range(15) if known.find(GET.replace(b"/1 ", b"/%d " % n))] == [0, 1, 2, 3, 7, 11]
    for n in range(100, 106):
        assert not comes(n)
    assert [comes(200) for _ in range(5)] == [False, False, False, True, True]
    assert not any(comes(n) for n in range(300, 315))
    assert known.hopeful
    assert not comes(315)
    assert not known.hopeful
    assert not any(comes(n) for n in range(400))


def test_heads_take_no_more_room_than_they_may():
    heads = [b"GET /%d HTTP/1.1\r\nHost: h\r\nX: %b\r\n\r\n" % (n, b"a" * 2_500) for n in range(5)]
    known = learned(*heads)
    assert [n for n, head in enumerate(heads) if known.find(head)] == [2, 3, 4]


def test_a_head_is_kept_once():
    heads = [GET.replace(b"/1 ", b"/%d " % n) for n in range(7)]
    known = learned(*heads, POST % b"1", POST % b"22", POST % b"1")
    assert all(known.find(head) for head in heads)
    assert not known.learning
    assert known.find(GET.replace(b"/1 ", b"/9 ")) is None
    assert known.learning


REQUESTS = [
    GET,
    POST % b"4" + b"{} \n",
    POST % b"0",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(GET) + 5, GET + b"\r\n\r\nz"),
    b"\r\nGET / HTTP/1.1\r\nHost: h\r\nX: caf\xe9\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
]
RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\nContent-Length: 2\nX: 1\n\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy",
]


def read(parser: Any, data: bytes) -> list[tuple[Any, ...]]:
    """What a parser makes of bytes: messages and their bodies, and whether it fails."""
    try:
        messages = parser.feed_data(data)[0]
    except HttpProcessingError as error:
        return [(type(error),)]
    read = []
    for message, payload in messages:
        body = b"" if payload is EMPTY_PAYLOAD else b"".join(payload._buffer)
        read.append((message.raw_headers, getattr(message, "path", ""), body, payload.is_eof()))
    return read


@pytest.mark.parametrize(
    ("parser", "messages"), [(request_parser, REQUESTS), (response_parser, RESPONSES)], ids=["requests", "responses"]
)
async def test_between_two_messages_a_new_parser_reads_what_the_old_one_would(parser: Any, messages: list[bytes]):
    loop = asyncio.get_running_loop()
    chance = random.Random(7)
    between = 0
    for _ in range(4_000):
        chosen = chance.choices(messages, k=chance.randint(1, 5))
        stream = b"".join(chosen)
        # Mostly as senders do it, message by message, and some cuts anywhere.
        ends = [n for n in accumulate(map(len, chosen)) if n < len(stream) and chance.random() < 0.8]
        cuts = sorted({*ends, *chance.sample(range(1, len(stream)), chance.choice((0, 0, 1, 3)))})
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        old, place, last = parser(loop), Place(), None
        for n, piece in enumerate(pieces):
            begun = old.feed_data(piece)[0]
            last = begun[-1][1] if begun else last
            over = last is None or last.is_eof()
            place.fed(piece, [message for message, _ in begun], over=over)
            if place.left == 0:
                between += 1
                rest, probe = b"".join([*pieces[n + 1 :], messages[0]]), parser(loop)
                twin = parser(loop)
                for each in pieces[: n + 1]:
                    twin.feed_data(each)
                assert read(twin, rest) == read(probe, rest), pieces
    assert between > 1_000


CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def fed(*pieces: bytes, parser: Any = request_parser) -> Place:
    """Where a parser is after these pieces."""
    loop, place, last = asyncio.new_event_loop(), Place(), None
    parser = parser(loop)
    for piece in pieces:
        begun = parser.feed_data(piece)[0]
        last = begun[-1][1] if begun else last
        place.fed(piece, [message for message, _ in begun], over=last is None or last.is_eof())
    loop.close()
    return place


def test_places():
    post = POST % b"4"
    for pieces in ((), (GET,), (GET, b"", GET), (post + b"{} \n",), (post, b"{} \n", GET)):
        assert fed(*pieces).left == 0, pieces
    assert fed(post).left == 4
    assert fed(post + b"{", b"}").left == 2
    # A head in pieces, too.
    assert fed(GET[:9]).left == fed(GET, GET[:9], GET[9:20]).left == IN_HEAD
    assert fed(GET[:9], GET[9:]).left == fed(GET[:9], GET[9:20], GET[20:], b"").left == 0
    assert fed(post[:9], post[9:] + b"{}").left == 2
    assert fed(b"GET / HTTP/1.1\r\nX: %b" % (b"a" * 4_090), b"aa").left is None
    # What cannot be told: two at once.
    for pieces in ((GET + GET,), (GET[:9], GET[9:] + GET), (post + b"{} \nGE", b"T"), (post, b"{} \nGE")):
        assert fed(*pieces).left is None, pieces


def test_places_in_answers():
    def after(*pieces: bytes) -> int | None:
        return fed(*pieces, parser=response_parser).left

    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    assert after(head + b"{}") == after(head, b"{}") == 0
    # One whose body ends with the connection, one that is no answer yet, one that has line feeds alone.
    assert after(b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\n") is after(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n") is None
    assert after(b"HTTP/1.1 200 OK\nContent-Length: 6\n\n{}\r\n\r\n") is None


def test_places_in_chunks():
    assert fed(CHUNKED).left == fed(CHUNKED, b"2\r\n{}\r\n").left == IN_CHUNKS
    whole = CHUNKED + b"1\r\n\n\r\n" + END
    for cut in range(1, 9):
        place = fed(whole[:-cut], whole[-cut:], GET)
        assert (place.left, place.odd) == (0, False)
    assert (fed(CHUNKED + END, GET).left, fed(CHUNKED + END).odd) == (0, False)


TRAILERS = [b"0\r\nX: 1\r\n\r\n", b"0\r\nX: 0\r\n\r\n", b"0;x\r\n\r\n", b"00\r\n\r\n"]
ODD = [*TRAILERS, END + b"GE", END + GET, END + CHUNKED, END + POST % b"4"]


READ = (*TRAILERS[2:], END + GET)
"""Of these those that are whole requests without a trailer."""


@pytest.mark.parametrize("end", ODD)
@pytest.mark.parametrize("before", [b"", GET, GET[:9]])
def test_what_comes_behind_the_last_chunk_is_noticed_however_it_comes(end: bytes, before: bytes):
    # Behind a request, behind one in pieces: also where nothing else is known of the place any more.
    head = (before, GET[9:] + CHUNKED) if before == GET[:9] else (before + CHUNKED,)
    for cut in range(len(end) + 1):
        place = fed(*head[:-1], head[-1] + end[:cut], end[cut:])
        # Cut right behind the body's end it is a message of its own; in one piece it is read to the byte.
        whole = cut == len(end) and end in READ and before != GET[:9]
        clean = whole or (end.startswith(END) and cut == len(END))
        assert place.odd is not clean, (cut, end)
        assert clean or place.left is None


@pytest.mark.parametrize("end", TRAILERS[:2])
@pytest.mark.parametrize("behind", [b"", GET, CHUNKED + END])
def test_a_trailer_is_noticed_wherever_it_is(end: bytes, behind: bytes):
    assert fed(CHUNKED + b"1\r\n\n\r\n" + end + behind).odd
    assert fed(GET + CHUNKED + END + CHUNKED + end + behind).odd
    assert not fed(CHUNKED + END + behind).odd
