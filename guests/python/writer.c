/* Python's objects into JSON text: what msgspec writes of them, but where a value is the one that was read, its place. */
#include "record.h"

#include <internal/pycore_ceval.h>
#include <wasm_simd128.h>

#include "lex.h"
#include "lookup.h"

typedef PyObject *Key;

static inline int same_key(PyObject *left, PyObject *right) {
    if (left == right) {
        return 1;
    }
    if (!PyUnicode_CheckExact(right)) {
        return 0;
    }
    Py_hash_t hash = ((PyASCIIObject *)right)->hash;
    return hash == ((PyASCIIObject *)left)->hash && PyUnicode_Compare(left, right) == 0;
}

/* A key that is no plain string is that of no node. */
static inline uint32_t key_number(Key key) { return PyUnicode_CheckExact(key) ? (uint32_t)((PyASCIIObject *)key)->hash : 0; }
static inline int is_object(const Node *node) { return PyDict_CheckExact(node->value); }
static inline int has_twice(const Node *node) { return (node->flags & TWICE) != 0; }

#include "members.h"

typedef struct {
    const Record *record;
    Answer *to;
    /* The lists and objects that were read, by their addresses; empty until one is somewhere else. */
    Lookup places;
    Members members;
} Writer;

static int write_value(Writer *w, PyObject *value, const Node *was);

/* Text of msgspec for what is rare. */
static int write_by_encoder(Writer *w, PyObject *value) {
    PyObject *text = PyObject_CallOneArg(encode_function, value);
    if (text == NULL) {
        return -1;
    }
    answer_put(w->to, PyBytes_AS_STRING(text), (size_t)PyBytes_GET_SIZE(text));
    Py_DECREF(text);
    return 0;
}

/* The escape of a character below 128; 0 for none, 'u' for one by its number. */
static inline char escape_of(uint32_t c) {
    static const char letters[] = "uuuuuuuubtnufruuuuuuuuuuuuuuuuuu";
    return c < 0x20 ? letters[c] : c == '"' || c == '\\' ? (char)c : 0;
}

static uint8_t *put_escape(uint8_t *out, uint32_t c, char escape) {
    static const char hex[] = "0123456789abcdef";
    *out++ = '\\';
    *out++ = (uint8_t)escape;
    if (escape == 'u') {
        *out++ = '0';
        *out++ = '0';
        *out++ = (uint8_t)hex[c >> 4];
        *out++ = (uint8_t)hex[c & 15];
    }
    return out;
}

/* Bytes without an escape, as many as there are up to `end`. */
static size_t plain(const uint8_t *at, const uint8_t *end) {
    const uint8_t *p = at;
    for (; end - p >= 16; p += 16) {
        v128_t v = wasm_v128_load(p);
        v128_t special = wasm_v128_or(wasm_v128_or(wasm_i8x16_eq(v, wasm_i8x16_splat('"')), wasm_i8x16_eq(v, wasm_i8x16_splat('\\'))),
                                      wasm_u8x16_lt(v, wasm_u8x16_splat(0x20)));
        uint32_t stop = wasm_i8x16_bitmask(special);
        if (stop) {
            return (size_t)(p - at) + (size_t)__builtin_ctz(stop);
        }
    }
    while (p < end && !escape_of(*p)) {
        p++;
    }
    return (size_t)(p - at);
}

static uint8_t *put_ascii(uint8_t *out, const uint8_t *at, const uint8_t *end) {
    for (;;) {
        size_t n = plain(at, end);
        memcpy(out, at, n);
        out += n;
        at += n;
        if (at == end) {
            return out;
        }
        out = put_escape(out, *at, escape_of(*at));
        at++;
    }
}

/* NULL for half a pair of surrogates. */
static uint8_t *put_wide(uint8_t *out, int kind, const void *data, Py_ssize_t at, Py_ssize_t end) {
    for (; at < end; at++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, at);
        char escape = c < 0x80 ? escape_of(c) : 0;
        if (escape) {
            out = put_escape(out, c, escape);
        } else if (c < 0x80) {
            *out++ = (uint8_t)c;
        } else if (c >= 0xd800 && c < 0xe000) {
            return NULL;
        } else {
            out = put_char(out, c);
        }
    }
    return out;
}

/* Characters of a string that are written at a time: each may become six bytes. */
#define AT_ONCE 4096

static int write_string(Writer *w, PyObject *value) {
    Py_ssize_t len = PyUnicode_GET_LENGTH(value), end;
    int ascii = PyUnicode_IS_ASCII(value), kind = PyUnicode_KIND(value);
    const void *data = PyUnicode_DATA(value);
    size_t start = w->to->len;
    /* Of a long string in one step, but for escapes and characters of more bytes. */
    if (!answer_room(w->to, (size_t)len + 2)) {
        return 0;
    }
    answer_byte(w->to, '"');
    for (Py_ssize_t at = 0; at < len; at = end) {
        end = len - at < AT_ONCE ? len : at + AT_ONCE;
        if (!answer_room(w->to, (size_t)(end - at) * 6)) {
            return 0;
        }
        uint8_t *out = w->to->bytes + w->to->len, *from = out;
        out = ascii ? put_ascii(out, (const uint8_t *)data + at, (const uint8_t *)data + end) : put_wide(out, kind, data, at, end);
        if (out == NULL) {
            w->to->len = start;
            return write_by_encoder(w, value);
        }
        w->to->len += (size_t)(out - from);
    }
    answer_byte(w->to, '"');
    return 0;
}

static int write_whole(Writer *w, PyObject *value) {
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow) {
        return write_by_encoder(w, value);
    }
    char text[24], *at = text + sizeof text;
    unsigned long long left = number < 0 ? -(unsigned long long)number : (unsigned long long)number;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (number < 0) {
        *--at = '-';
    }
    answer_put(w->to, at, (size_t)(text + sizeof text - at));
    return 0;
}

/* A key as msgspec writes it, a string of something else, too. */
static int write_key(Writer *w, PyObject *key) {
    if (PyUnicode_CheckExact(key)) {
        return write_string(w, key);
    }
    PyObject *object = PyDict_New();
    PyObject *text = object && PyDict_SetItem(object, key, Py_None) == 0 ? PyObject_CallOneArg(encode_function, object) : NULL;
    Py_XDECREF(object);
    if (text == NULL) {
        return -1;
    }
    /* {"key":null} */
    answer_put(w->to, PyBytes_AS_STRING(text) + 1, (size_t)PyBytes_GET_SIZE(text) - 7);
    Py_DECREF(text);
    return 0;
}

/* The text between two parts: as it stands between them, or a comma. */
static void separate(Writer *w, const Node *was, const Node *last, const Node *next, int first) {
    const Node *nodes = w->record->nodes;
    if (next && last ? nodes + last->after == next : first && next == was + 1 && next) {
        piece_copy(w->to, last ? last->to : was->from, next->key_at);
    } else {
        answer_byte(w->to, first ? (PyDict_CheckExact(was->value) ? '{' : '[') : ',');
    }
}

/* The text behind the last part, to the closing bracket. */
static void close_parts(Writer *w, const Node *was, const Node *last, int none) {
    const Node *nodes = w->record->nodes;
    int object = PyDict_CheckExact(was->value);
    if (none && was + 1 == nodes + was->after) {
        piece_copy(w->to, was->from, was->to);
    } else if (last && nodes + last->after == nodes + was->after) {
        piece_copy(w->to, last->to, was->to);
    } else {
        answer_put(w->to, none ? (object ? "{}" : "[]") : object ? "}" : "]", none ? 2 : 1);
    }
}

/* A member that is new, has changed, or may have. */
static int write_member(Writer *w, PyObject *key, PyObject *item, const Node *node) {
    Py_INCREF(key);
    Py_INCREF(item);
    int failed;
    if (node) {
        piece_copy(w->to, node->key_at, node->from);
        failed = write_value(w, item, node);
    } else {
        failed = write_key(w, key);
        answer_byte(w->to, ':');
        failed = failed || write_value(w, item, NULL);
    }
    Py_DECREF(key);
    Py_DECREF(item);
    return failed || w->to->failed ? -1 : 0;
}

/* An object beside another one. */
static int write_paired(Writer *w, PyObject *value, const Node *was) {
    const Node *nodes = w->record->nodes, *next = was + 1, *end = nodes + was->after, *last = NULL;
    PyObject *key, *item;
    Py_ssize_t at = 0;
    int first = 1, twice = was->flags & TWICE;
    while (PyDict_Next(value, &at, &key, &item)) {
        /* Most members are as they were, and where they were. */
        if (next < end && next->key == key && next->value == item && next->flags & SCALAR && !twice &&
            (last ? nodes + last->after == next : first && next == was + 1)) {
            piece_copy(w->to, last ? last->to : was->from, next->to);
            last = next++;
            first = 0;
            continue;
        }
        const Node *node = member_of(&w->members, was, next, key);
        separate(w, was, last, node, first);
        if (write_member(w, key, item, node)) {
            return -1;
        }
        next = node ? nodes + node->after : next;
        last = node;
        first = 0;
    }
    close_parts(w, was, last, first);
    return 0;
}

static int write_object(Writer *w, PyObject *value) {
    PyObject *key, *item;
    Py_ssize_t at = 0;
    char before = '{';
    while (PyDict_Next(value, &at, &key, &item)) {
        answer_byte(w->to, before);
        Py_INCREF(key);
        Py_INCREF(item);
        int failed = write_key(w, key);
        answer_byte(w->to, ':');
        failed = failed || write_value(w, item, NULL);
        Py_DECREF(key);
        Py_DECREF(item);
        if (failed || w->to->failed) {
            return -1;
        }
        before = ',';
    }
    answer_put(w->to, "{}", before == '{' ? 2 : 0);
    if (before == ',') {
        answer_byte(w->to, '}');
    }
    return 0;
}

/* The elements from the first one on that are as they were, up to one that may have changed: how many. */
static Py_ssize_t write_same(Writer *w, PyObject *value, const Node *was) {
    const Node *node = was + 1, *end = w->record->nodes + was->after;
    PyObject **items = PyList_Check(value) ? ((PyListObject *)value)->ob_item : ((PyTupleObject *)value)->ob_item;
    Py_ssize_t n = 0, count = Py_SIZE(value);
    while (n < count && node < end && node->value == items[n] && node->flags & SCALAR) {
        node++;
        n++;
    }
    if (n > 0) {
        piece_copy(w->to, was->from, was[n].to);
    }
    return n;
}

/* A list or tuple, beside the list that stood in its place if there was one. `each`: what stood in the place of each. */
static int write_list(Writer *w, PyObject *value, const Node *was, const Node *each) {
    const Node *nodes = w->record->nodes, *next = was ? was + 1 : NULL, *last = NULL;
    Py_ssize_t n = was ? write_same(w, value, was) : 0;
    if (n > 0) {
        last = was + n;
        next = last + 1;
    }
    for (; n < Py_SIZE(value); n++) {
        const Node *node = was && next < nodes + was->after ? next : NULL;
        if (was) {
            separate(w, was, last, node, n == 0);
        } else {
            answer_byte(w->to, n ? ',' : '[');
        }
        PyObject *item = Py_NewRef(PyList_Check(value) ? PyList_GET_ITEM(value, n) : PyTuple_GET_ITEM(value, n));
        int failed = write_value(w, item, node ? node : each);
        Py_DECREF(item);
        if (failed || w->to->failed) {
            return -1;
        }
        last = node;
        next = node ? nodes + node->after : next;
    }
    if (was) {
        close_parts(w, was, last, n == 0);
    } else {
        answer_put(w->to, n ? "]" : "[]", n ? 1 : 2);
    }
    return 0;
}

/* Fills the table of lists and objects; 0 if there is no memory. */
static int find_places(Writer *w) {
    const Node *nodes = w->record->nodes;
    for (size_t n = 0; n < w->record->count; n++) {
        if (!(nodes[n].flags & SCALAR) && !lookup_add(&w->places, (uint32_t)(uintptr_t)nodes[n].value, (uint32_t)n)) {
            return 0;
        }
    }
    lookup_sort(&w->places);
    return 1;
}

/* The node of a list or object that was read, wherever it stands now; of any other one `was`, what stood in its place. */
static const Node *origin_of(Writer *w, PyObject *value, const Node *was) {
    /* One that was read is held by the record, by where it stands, and by us. */
    if ((was && was->value == value) || Py_REFCNT(value) < 3 || w->record->count == 0) {
        return was;
    }
    if (w->places.count == 0 && !find_places(w)) {
        w->to->failed = 1;
        return was;
    }
    uint32_t address = (uint32_t)(uintptr_t)value;
    size_t at = lookup_end(&w->places, address);
    return lookup_has(&w->places, at, address) ? w->record->nodes + lookup_node(&w->places, at) : was;
}

static int write_container(Writer *w, PyObject *value, const Node *was) {
    if (Py_EnterRecursiveCall(" while serializing an object")) {
        return -1;
    }
    int failed;
    was = origin_of(w, value, was);
    if (PyDict_Check(value)) {
        failed = was && PyDict_CheckExact(was->value) ? write_paired(w, value, was) : write_object(w, value);
    } else {
        failed = write_list(w, value, was && PyList_CheckExact(was->value) ? was : NULL, NULL);
    }
    Py_LeaveRecursiveCall();
    return failed;
}

/* As msgspec: what inherits from them is written as they are. */
static int is_container(PyObject *value) { return PyDict_Check(value) || PyList_Check(value) || PyTuple_Check(value); }

/* `was`: what stood in its place. */
static int write_value(Writer *w, PyObject *value, const Node *was) {
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyDict_Type || type == &PyList_Type) {
        return write_container(w, value, was);
    }
    if (was && was->value == value) {
        piece_copy(w->to, was->from, was->to);
        return 0;
    }
    if (type == &PyUnicode_Type) {
        return write_string(w, value);
    }
    if (type == &PyLong_Type) {
        return write_whole(w, value);
    }
    if (type == &PyBool_Type || value == Py_None) {
        const char *word = value == Py_True ? "true" : value == Py_False ? "false" : "null";
        answer_put(w->to, word, strlen(word));
        return 0;
    }
    return is_container(value) ? write_container(w, value, was) : write_by_encoder(w, value);
}

static int write_result(Writer *w, PyObject *result) {
    const Node *was = w->record->count ? w->record->nodes : NULL;
    if ((PyList_Check(result) || PyTuple_Check(result)) && was && PyDict_CheckExact(was->value) &&
        origin_of(w, result, was) == was) {
        /* One document that became several: each beside the one that there was. */
        return write_list(w, result, NULL, was);
    }
    return write_value(w, result, was);
}

int record_write(const Record *record, PyObject *result, Answer *to) {
    Writer w = {.record = record, .to = to, .members = members_of(record, to)};
    /* Held by us, as all that is written (`origin_of`). */
    Py_INCREF(result);
    int failed = write_result(&w, result);
    Py_DECREF(result);
    lookup_free(&w.places);
    lookup_free(&w.members.sorted);
    if (to->failed && !PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    return failed || to->failed ? -1 : 0;
}
