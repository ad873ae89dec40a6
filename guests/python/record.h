/* The documents of a call: what was built of a text, and where each value stands in it.
 *
 * A record is a list of nodes in the order of the text, a container before its members. Each holds a reference to its
 * value (so that no other object can have its address) as long as the document is in work: what the UDF left alone is
 * found by identity, and written by its place. A list or object that stands somewhere else is, too, with what is in it.
 */
#ifndef RECORD_H
#define RECORD_H

#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE
#include <Python.h>

#include <float.h>

#include "answer.h"

typedef struct {
    /* NULL for an element of a list. */
    PyObject *key;
    PyObject *value;
    /* Where the key begins, or the value of an element; where the value begins and ends. */
    uint32_t key_at, from, to;
    /* The node behind those of its members. */
    uint32_t after;
    uint32_t flags;
} Node;

/* What a node is: not an object or list; an object in which a key stands twice, of which the last one counts. */
enum { SCALAR = 1, TWICE = 2 };

typedef struct {
    Node *nodes;
    size_t count, room;
} Record;

/* boot.py's coders of JSON, for what is rare. */
extern PyObject *decode_function, *encode_function;

/* The object of a text, and its record; NULL without an exception for a text that msgspec is to be asked about, with one if there
 * is no memory. */
PyObject *record_read(Record *record, const uint8_t *text, size_t len);

/* Gives up the references, and memory of unusual size. */
void record_clear(Record *record);

/* Writes a result as pieces of the text that the record is of; -1 with an exception. */
int record_write(const Record *record, PyObject *result, Answer *to);

#endif
