/* Numbers of a document by their doubles: which of them say by their double alone what number they were read from. */
#ifndef NUMBERS_H
#define NUMBERS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

/* The node of a double that is another number at another node. */
#define SEVERAL UINT32_MAX
/* Decimal digits that a double always has; two numbers with no more of them are two doubles. */
#define DIGITS 15
/* JavaScript writes smaller numbers with an exponent. */
#define SMALLEST_PLAIN 1e-6
/* Powers of ten are read up to here, far beyond what a text has digits. */
#define MOST_POWER 100000000000000000

/* A double, and the first node that has it. */
typedef struct {
    double number;
    uint32_t node;
} Double;

/* Each double once, in order; `entries` is NULL until it is filled. */
typedef struct {
    Double *entries;
    size_t count;
} Numbers;

static inline double double_of(JSValueConst value) {
    return JS_VALUE_GET_TAG(value) == JS_TAG_INT ? JS_VALUE_GET_INT(value) : JS_VALUE_GET_FLOAT64(value);
}

/* Whether a number's text is certainly the one that JavaScript writes: few digits, no zero behind a point, no exponent. */
static inline int is_usual(const uint8_t *text, size_t len, double number) {
    size_t sign = *text == '-', points = 0;
    for (size_t i = sign; i < len; i++) {
        points += text[i] == '.';
        if (text[i] != '.' && (text[i] < '0' || text[i] > '9')) {
            return 0;
        }
    }
    if (len - sign - points > DIGITS || (points && text[len - 1] == '0')) {
        return 0;
    }
    return number == 0 ? len == 1 : fabs(number) >= SMALLEST_PLAIN;
}

static int numbers_order(const void *left, const void *right) {
    const Double *a = left, *b = right;
    int order = (a->number > b->number) - (a->number < b->number);
    return order ? order : (a->node > b->node) - (a->node < b->node);
}

/* A number as its text says it: digits from the first to the last that is not 0 (none of zero), and the power of ten before them. */
typedef struct {
    const uint8_t *from, *to;
    int64_t power;
    int negative;
} Decimal;

static inline int64_t power_of(const uint8_t *at, const uint8_t *end) {
    int64_t power = 0;
    int negative = at < end && *at == '-';
    for (at += at < end && (*at == '-' || *at == '+'); at < end; at++) {
        power = power < MOST_POWER ? power * 10 + (*at - '0') : power;
    }
    return negative ? -power : power;
}

static inline Decimal decimal_of(const uint8_t *at, const uint8_t *end) {
    Decimal found = {.negative = *at == '-'};
    int64_t behind_point = 0;
    for (at += found.negative; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            behind_point = 1;
            continue;
        }
        if (*at != '0') {
            found.from = found.from ? found.from : at;
            found.to = at + 1;
        }
        found.power += found.from ? !behind_point : -behind_point;
    }
    found.power += at < end ? power_of(at + 1, end) : 0;
    return found;
}

/* Whether two nodes are the same number, be it written in another way: `1.0` and `1`, but not two numbers of one double. */
static inline int same_number(const uint8_t *text, const Node *one, const Node *other) {
    Decimal a = decimal_of(text + one->from, text + one->to), b = decimal_of(text + other->from, text + other->to);
    if (a.from == NULL || b.from == NULL) {
        return a.from == b.from;
    }
    while (a.from < a.to && b.from < b.to) {
        a.from += *a.from == '.';
        b.from += *b.from == '.';
        if (*a.from++ != *b.from++) {
            return 0;
        }
    }
    return a.from == a.to && b.from == b.to && a.power == b.power && a.negative == b.negative;
}

/* 0 if there is no memory. */
static inline int numbers_fill(Numbers *to, const Record *record) {
    const Node *nodes = record->nodes;
    Double *found = malloc(record->count * sizeof *found);
    size_t count = 0, kept = 0;
    if (found == NULL) {
        return 0;
    }
    for (size_t n = 0; n < record->count; n++) {
        if (JS_IsNumber(nodes[n].value)) {
            found[count++] = (Double){double_of(nodes[n].value), (uint32_t)n};
        }
    }
    qsort(found, count, sizeof *found, numbers_order);
    for (size_t i = 0; i < count; i++) {
        Double *last = found + kept - 1;
        if (kept == 0 || last->number != found[i].number) {
            found[kept++] = found[i];
        } else if (last->node != SEVERAL && !same_number(record->text, nodes + last->node, nodes + found[i].node)) {
            last->node = SEVERAL;
        }
    }
    *to = (Numbers){found, kept};
    return 1;
}

/* Whether all numbers that are this double are the same number. */
static inline int numbers_agree(const Numbers *in, double number) {
    size_t low = 0, high = in->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (in->entries[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < in->count && in->entries[low].number == number && in->entries[low].node != SEVERAL;
}

#endif
