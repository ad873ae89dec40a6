/* Members of the objects of a record, by their keys.
 *
 * Comes behind the guest's `record.h`, the type `Key` of a node's key, and what it says of keys and nodes: `same_key`, whether a
 * key is that of a node; `key_number`, 32 bits of a key that are the same for the same key; `is_object` and `has_twice`, whether a
 * node is an object with members, and has a key twice. */
#ifndef MEMBERS_H
#define MEMBERS_H

#include "lookup.h"

/* Comparisons of keys one by one, before the members of all objects are sorted: so many, and so many for each node of the
 * document. Most members are near where they were, and sorting costs more than a few comparisons. */
#define COMPARED 256
#define COMPARED_EACH 4

typedef struct {
    const Record *record;
    /* Has failed where there was no memory to sort them. */
    Answer *to;
    /* How many keys may still be compared one by one; then members are asked for by their objects and keys. */
    size_t left;
    Lookup sorted;
} Members;

static inline Members members_of(const Record *record, Answer *to) {
    return (Members){.record = record, .to = to, .left = COMPARED + COMPARED_EACH * record->count};
}

/* The first of the nodes from `at` up to `end` with a key; NULL for none, or when enough have been compared. */
static inline const Node *among(Members *in, const Node *at, const Node *end, Key key) {
    for (; at < end && in->left > 0; at = in->record->nodes + at->after, in->left--) {
        if (same_key(at->key, key)) {
            return at;
        }
    }
    return NULL;
}

/* Of a member: for one key those of different objects differ, so that a node with the number and the key is the member. */
static inline uint32_t member_number(uint32_t object, Key key) { return key_number(key) + object * 0x9e3779b1u; }

/* Sorts the members of all objects; 0 if there is no memory. */
static int sort_members(Members *in) {
    const Node *nodes = in->record->nodes;
    for (size_t n = 0; n < in->record->count; n++) {
        const Node *end = nodes + (is_object(nodes + n) ? nodes[n].after : 0);
        for (const Node *at = nodes + n + 1; at < end; at = nodes + at->after) {
            if (!lookup_add(&in->sorted, member_number((uint32_t)n, at->key), (uint32_t)(at - nodes))) {
                return 0;
            }
        }
    }
    lookup_sort(&in->sorted);
    return 1;
}

/* The last member with a key, which is the one that counts, by all of them sorted; NULL for none. */
static const Node *sorted_member(Members *in, const Node *was, Key key) {
    if (in->sorted.count == 0 && !sort_members(in)) {
        in->to->failed = 1;
        return NULL;
    }
    const Node *nodes = in->record->nodes;
    uint32_t number = member_number((uint32_t)(was - nodes), key);
    for (size_t at = lookup_end(&in->sorted, number); lookup_has(&in->sorted, at, number); at--) {
        const Node *node = nodes + lookup_node(&in->sorted, at);
        if (same_key(node->key, key)) {
            return node;
        }
    }
    return NULL;
}

/* The node of a member: the one at `next`, where members mostly are, else any with its key; NULL for a new member. */
static inline const Node *member_of(Members *in, const Node *was, const Node *next, Key key) {
    const Node *end = in->record->nodes + was->after;
    if (!has_twice(was)) {
        if (next < end && same_key(next->key, key)) {
            return next;
        }
        const Node *found = among(in, next, end, key);
        found = found ? found : among(in, was + 1, next, key);
        if (found || in->left > 0) {
            return found;
        }
    }
    return sorted_member(in, was, key);
}

#endif
