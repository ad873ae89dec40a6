/* Room for the nodes of a record. Comes behind the guest's `record.h`. */
#ifndef ROOM_H
#define ROOM_H

#include <stdlib.h>

#include "lex.h"

/* Nodes that a record keeps memory for. */
#define KEPT_NODES (1u << 14)

/* Room for all nodes of a long text: what grows by doubling needs three times its memory. */
static inline void make_room(Record *record, const uint8_t *text, size_t len) {
    /* A value takes two bytes, one of them for what is before it. */
    size_t most = len > 2 * KEPT_NODES ? most_values(text, text + len) : 0;
    if (most > record->room) {
        free(record->nodes);
        record->nodes = malloc(most * sizeof(Node));
        record->room = record->nodes ? most : 0;
    }
}

#endif
