/* The documents of a call: what was built of a text, and where each value stands in it (as guests/python/record.h). */
#ifndef RECORD_H
#define RECORD_H

#include "answer.h"
#include "quickjs.h"

typedef struct {
    JSValue value;
    /* JS_ATOM_NULL for an element of a list. */
    JSAtom key;
    /* Where the key begins, or the value of an element; where the value begins and ends. */
    uint32_t key_at, from, to;
    /* The node behind those of its members. */
    uint32_t after;
    /* Whether a key stands twice in it: the last one counts. */
    uint32_t twice;
} Node;

typedef struct {
    Node *nodes;
    size_t count, room;
    /* What the nodes are of; it stands until the record is cleared. */
    const uint8_t *text;
} Record;

/* Learns the classes of plain objects and lists, before a UDF is loaded. */
void record_boot(JSContext *context);

/* A value of JSON text by the interpreter's own parser. */
JSValue json_value(JSContext *context, const uint8_t *text, size_t len);

/* The value of a text, and its record, which is empty if only the interpreter's own parser reads it; or an exception. */
JSValue record_read(JSContext *context, Record *record, const uint8_t *text, size_t len);

/* Gives up the references, and memory of unusual size. */
void record_clear(JSContext *context, Record *record);

/* Writes a result as pieces of the text that the record is of: 1; 0 for one that no JSON can show; -1 with an exception. */
int record_write(JSContext *context, const Record *record, JSValueConst result, Answer *to);

#endif
