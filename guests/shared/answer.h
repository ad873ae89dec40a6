/* What a guest gives back (wasm-runtime/src/udf/answers.rs reads it): numbers of 32 bits, lowest byte first, and texts.
 *
 * An answer is the number of its results, what became of the call, the results, and of an interrupted call where it was. A
 * result is its kind, the length of what follows, and that: the JSON of an error, or pieces. Where the UDF takes contexts the
 * context follows, behind its length.
 *
 * A result in pieces is a text: each piece copies a range of the document, and has text of its own behind that. What a UDF left
 * alone is so written by its place in the document, byte for byte, and costs no more than twelve bytes.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Kinds of results. */
enum { NOTHING = 0, FAILED = 1, PIECES = 2 };
/* What the second number of an answer says: that the call was interrupted; that this interpreter is spent, too; that the next
 * document goes alone, because there was no memory for its answer beside those of the call, or because those are long. */
enum { STOPPED = 1, SPENT = 2, FULL = 4 };
/* Bytes of a piece before its text: start and end of the range, length of the text. */
#define PIECE 12
/* Bytes that a buffer keeps from call to call at most: a chunk of documents is a megabyte. */
#define KEPT (2u << 20)
/* Bytes of room before each document: for its error, or where it was interrupted, if there is no memory for more. */
#define SPARE 256
/* An error of the UDF for which there is no memory. */
static const char NO_MEMORY[] = "{\"type\":\"MemoryError\",\"reason\":\"the UDF has no memory left\"}";
/* That of a document for whose answer there is none. */
static const char NO_ROOM[] = "{\"type\":\"MemoryError\",\"reason\":\"the answer does not fit into the memory of the UDF\"}";

typedef struct {
    uint8_t *bytes;
    size_t len, room;
    /* Bytes for which there was no memory, so that so many are not asked for again at once. */
    size_t refused;
    /* Bytes that the texts of the result in work have on the other side, and those of all results of the call. */
    uint64_t size, sizes;
    /* Where the text of the piece in work begins, and the range before it. */
    size_t piece;
    uint32_t from, to;
    /* Set when there was no memory; what is written then goes nowhere. */
    int failed;
} Answer;

/* Grows by a part of what there is, so that long answers are copied a few times only; near the end of memory by smaller parts. */
static __attribute__((noinline)) int answer_grow(Answer *to, size_t more) {
    size_t need = to->len + more, extra = (need < (1u << 20) ? need : need / 4) + 4096;
    while (!to->failed) {
        size_t room = need + extra;
        uint8_t *grown = extra == 0 || room < to->refused ? realloc(to->bytes, room) : NULL;
        if (grown != NULL) {
            to->bytes = grown;
            to->room = room;
            return 1;
        }
        to->refused = room < to->refused ? room : to->refused;
        to->failed = extra == 0;
        extra = extra < 64 ? 0 : extra / 4;
    }
    return 0;
}

/* Makes sure of room for so many bytes. */
static inline int answer_room(Answer *to, size_t more) {
    return __builtin_expect(to->room - to->len >= more, 1) || answer_grow(to, more);
}

static inline void answer_put(Answer *to, const void *bytes, size_t len) {
    if (answer_room(to, len)) {
        memcpy(to->bytes + to->len, bytes, len);
        to->len += len;
    }
}

static inline void answer_byte(Answer *to, char byte) {
    if (answer_room(to, 1)) {
        to->bytes[to->len++] = (uint8_t)byte;
    }
}

static inline void answer_number(Answer *to, uint32_t number) { answer_put(to, &number, 4); }

/* Begins an answer in memory that is kept; traps if there is none. */
static inline void answer_start(Answer *to) {
    if (to->room > KEPT) {
        free(to->bytes);
        to->bytes = NULL;
        to->room = 0;
    }
    to->len = 0;
    to->failed = 0;
    to->refused = SIZE_MAX;
    to->sizes = 0;
    /* An answer without results, and room to tell an error. */
    if (answer_room(to, 8 + SPARE)) {
        answer_number(to, 0);
        answer_number(to, 0);
    } else {
        __builtin_trap();
    }
}

/* Whether the results of the call have more text than the interpreter has memory: the engine takes no more of one call than it
 * may have. */
static inline int answers_are_long(const Answer *to) { return to->sizes > (uint64_t)__builtin_wasm_memory_size(0) << 16; }

/* A number that stands anywhere. */
static inline void answer_patch(Answer *to, size_t at, uint32_t number) {
    if (!to->failed) {
        memcpy(to->bytes + at, &number, 4);
    }
}

/* Writes the numbers before the text of the piece in work. */
static inline void piece_end(Answer *to) {
    answer_patch(to, to->piece - PIECE, to->from);
    answer_patch(to, to->piece - PIECE + 4, to->to);
    answer_patch(to, to->piece - PIECE + 8, (uint32_t)(to->len - to->piece));
    to->size += (to->to - to->from) + (to->len - to->piece);
}

static inline void piece_start(Answer *to, uint32_t from, uint32_t end) {
    if (answer_room(to, PIECE)) {
        to->len += PIECE;
    }
    to->piece = to->len;
    to->from = from;
    to->to = end;
}

static __attribute__((noinline)) void piece_next(Answer *to, uint32_t from, uint32_t end) {
    if (!to->failed) {
        piece_end(to);
        piece_start(to, from, end);
    }
}

/* Copies a range of the document. Ranges that follow upon each other become one. */
static inline void piece_copy(Answer *to, uint32_t from, uint32_t end) {
    if (__builtin_expect(to->len == to->piece && to->to == from, 1)) {
        to->to = end;
    } else {
        piece_next(to, from, end);
    }
}

/* Begins a result in pieces; gives where it begins, for `result_end` and for taking it back. */
static inline size_t result_start(Answer *to) {
    size_t at = to->len;
    uint32_t head[2] = {PIECES, 0};
    answer_put(to, head, sizeof head);
    to->size = 0;
    piece_start(to, 0, 0);
    return at;
}

/* Ends it: behind the kind stands the length of the pieces. */
static inline void result_end(Answer *to, size_t at) {
    piece_end(to);
    answer_patch(to, at + 4, (uint32_t)(to->len - at - 8));
    to->sizes += to->failed ? 0 : to->size;
}

/* Takes back what was written from a place on, with the memory that is behind it and the spare bytes. */
static inline void answer_back(Answer *to, size_t at) {
    int failed = to->failed;
    to->len = at;
    to->failed = 0;
    to->refused = SIZE_MAX;
    if (failed && to->room > at + SPARE) {
        uint8_t *less = realloc(to->bytes, at + SPARE);
        to->bytes = less ? less : to->bytes;
        to->room = less ? at + SPARE : to->room;
    }
}

/* A result that is no text of the document's. */
static inline void answer_kind(Answer *to, uint32_t kind, const void *text, size_t len) {
    answer_number(to, kind);
    answer_number(to, (uint32_t)len);
    answer_put(to, text, len);
}

/* Tells the error of a document; of one for which there is no memory that there is none. `contexts`: they follow upon results. */
static inline void answer_error(Answer *to, const void *text, size_t len, int contexts) {
    size_t at = to->len;
    answer_kind(to, FAILED, text, len);
    if (contexts) {
        answer_number(to, 0);
    }
    if (to->failed) {
        answer_back(to, at);
        if (text == NO_MEMORY) {
            __builtin_trap();
        }
        answer_error(to, NO_MEMORY, sizeof NO_MEMORY - 1, contexts);
    }
}

/* Tells that the call was interrupted, and behind its results where. */
static inline void answer_stopped(Answer *to, uint32_t state, const void *where, size_t len) {
    size_t at = to->len;
    answer_patch(to, 4, STOPPED | state);
    answer_number(to, (uint32_t)len);
    answer_put(to, where, len);
    if (to->failed) {
        answer_back(to, at);
        answer_stopped(to, state, "{}", 2);
    }
}

#endif
