/* Nodes of a record by a number: members by those of their object and key, lists and objects by their address. */
#ifndef LOOKUP_H
#define LOOKUP_H

#include <stdint.h>
#include <stdlib.h>

/* Numbers with their nodes: the number in the upper half, so that nodes of the same number are in the order of the text. */
typedef struct {
    uint64_t *entries;
    size_t count, room;
} Lookup;

/* 0 if there is no memory. */
static inline int lookup_add(Lookup *to, uint32_t number, uint32_t node) {
    if (to->count == to->room) {
        size_t room = to->room ? to->room * 2 : 32;
        uint64_t *grown = realloc(to->entries, room * sizeof *grown);
        if (grown == NULL) {
            return 0;
        }
        to->entries = grown;
        to->room = room;
    }
    to->entries[to->count++] = (uint64_t)number << 32 | node;
    return 1;
}

static int lookup_order(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static inline void lookup_sort(Lookup *in) { qsort(in->entries, in->count, sizeof *in->entries, lookup_order); }

/* How many entries have a number up to this one: the last of its own, if there is any, stands before that place. */
static inline size_t lookup_end(const Lookup *in, uint32_t number) {
    size_t low = 0, high = in->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uint32_t)(in->entries[middle] >> 32) <= number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Whether the entry before place `at` has the number. */
static inline int lookup_has(const Lookup *in, size_t at, uint32_t number) {
    return at > 0 && (uint32_t)(in->entries[at - 1] >> 32) == number;
}

static inline uint32_t lookup_node(const Lookup *in, size_t at) { return (uint32_t)in->entries[at - 1]; }

static inline void lookup_free(Lookup *in) {
    free(in->entries);
    *in = (Lookup){0};
}

#endif
