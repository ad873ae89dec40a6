/* JSON text into Python's objects: what `json.loads` gives, and the record of it. */
#include "record.h"

#include <internal/pycore_dict.h>
#include <internal/pycore_long.h>
#include <internal/pycore_unicodeobject.h>

#include "lex.h"
#include "room.h"


/* Members of objects in work: keys and values, innermost last. */
static PyObject **stack;
static size_t stack_len, stack_room;
/* Characters of a string, those that are decoded at a time: longer strings are decoded twice, and need no memory for it.
 * A text of some pages is shorter. */
#define AT_ONCE 16384
static uint32_t chars[AT_ONCE + 2 * LANES];

/* Keys seen lately, by their bytes: strings with their hash, interned as those of the UDF's code are. Two for each remainder
 * of the hash, the newer one first: a few hundred keys would have a fifth of them displace each other. */
#define KEYS 2048
#define LONGEST_KEY 48
typedef struct {
    PyObject *key;
    uint32_t hash, len;
} SeenKey;
static SeenKey keys[KEYS][2];

/* Numbers of the document before, for the next one: the interpreter keeps a hundred floats, and a vector has many more. */
#define NUMBERS 1024
static PyObject *floats[NUMBERS], *integers[NUMBERS];
static size_t float_count, integer_count;

typedef struct {
    Record *record;
    const uint8_t *text, *at, *end;
} Reader;

static int value(Reader *r);

static inline Node *new_node(Reader *r) {
    Record *record = r->record;
    if (record->count == record->room) {
        size_t room = record->room ? record->room * 2 : 256;
        Node *grown = realloc(record->nodes, room * sizeof(Node));
        if (grown == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        record->nodes = grown;
        record->room = room;
    }
    Node *node = &record->nodes[record->count++];
    node->key = node->value = NULL;
    node->key_at = node->from = (uint32_t)(r->at - r->text);
    node->flags = SCALAR;
    return node;
}

static inline int push(PyObject *object) {
    if (stack_len == stack_room) {
        size_t room = stack_room ? stack_room * 2 : 256;
        PyObject **grown = realloc(stack, room * sizeof *stack);
        if (grown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        stack = grown;
        stack_room = room;
    }
    stack[stack_len++] = object;
    return 0;
}

/* Eight of `chars`, all of them below 2^16. */
static inline v128_t narrow(int64_t at) { return wasm_u16x8_narrow_i32x4(wasm_v128_load(chars + at), wasm_v128_load(chars + at + 4)); }

/* Writes the first `count` of `chars` into a string, from a place on. */
static void put_chars(PyObject *string, int64_t at, int64_t count) {
    int64_t i = 0;
    if (PyUnicode_KIND(string) == PyUnicode_1BYTE_KIND) {
        uint8_t *to = PyUnicode_1BYTE_DATA(string) + at;
        for (; i + 16 <= count; i += 16) {
            wasm_v128_store(to + i, wasm_u8x16_narrow_i16x8(narrow(i), narrow(i + 8)));
        }
        for (; i < count; i++) {
            to[i] = (uint8_t)chars[i];
        }
    } else if (PyUnicode_KIND(string) == PyUnicode_2BYTE_KIND) {
        uint16_t *to = PyUnicode_2BYTE_DATA(string) + at;
        for (; i + 8 <= count; i += 8) {
            wasm_v128_store(to + i, narrow(i));
        }
        for (; i < count; i++) {
            to[i] = (uint16_t)chars[i];
        }
    } else {
        Py_UCS4 *to = PyUnicode_4BYTE_DATA(string) + at;
        for (; i + 4 <= count; i += 4) {
            wasm_v128_store(to + i, wasm_v128_load(chars + i));
        }
        for (; i < count; i++) {
            to[i] = chars[i];
        }
    }
}

/* A string with escapes or characters beyond ASCII; up to `limit` there is text to read. */
static PyObject *wide_string(const uint8_t *from, const uint8_t *end, const uint8_t *limit) {
    uint32_t bits = 0;
    int64_t count = 0, n = 0;
    for (const uint8_t *at = from; at < end; count += n) {
        n = string_chars(&at, end, limit, chars, AT_ONCE, &bits);
        if (n < 0) {
            return NULL;
        }
    }
    if (count <= 1) {
        return PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, chars, count);
    }
    Py_UCS4 most = bits < 0x80 ? 0x7f : bits < 0x100 ? 0xff : bits < 0x10000 ? 0xffff : 0x10ffff;
    PyObject *made = PyUnicode_New(count, most);
    if (made == NULL) {
        return NULL;
    }
    if (n == count) {
        put_chars(made, 0, count);
        return made;
    }
    int64_t done = 0;
    for (const uint8_t *at = from; at < end; done += n) {
        n = string_chars(&at, end, limit, chars, AT_ONCE, &bits);
        put_chars(made, done, n);
    }
    return made;
}

static inline PyObject *ascii_string(const uint8_t *from, size_t len) {
    if (len < 2) {
        return _PyUnicode_FromASCII((const char *)from, (Py_ssize_t)len);
    }
    PyObject *made = PyUnicode_New((Py_ssize_t)len, 0x7f);
    if (made != NULL) {
        uint8_t *to = PyUnicode_1BYTE_DATA(made);
        uint64_t v;
        size_t n = 0;
        /* A call of memcpy leaves the sandbox. */
        for (; len <= 64 && n + 8 <= len; n += 8) {
            memcpy(&v, from + n, 8);
            memcpy(to + n, &v, 8);
        }
        if (len > 64) {
            memcpy(to, from, len);
        } else {
            for (; n < len; n++) {
                to[n] = from[n];
            }
        }
    }
    return made;
}

/* A string whose opening quote `at` is behind. */
static PyObject *text_value(Reader *r) {
    const uint8_t *from = r->at;
    int seen = 0;
    const uint8_t *close = string_end(from, r->end, &seen);
    if (close == NULL) {
        return NULL;
    }
    r->at = close + 1;
    if (seen) {
        return wide_string(from, close, r->end);
    }
    return ascii_string(from, (size_t)(close - from));
}

static PyObject *new_key(PyObject *made, SeenKey *seen, uint32_t hash, uint32_t len) {
    if (made == NULL) {
        return NULL;
    }
    _PyUnicode_InternMortal(PyInterpreterState_Get(), &made);
    if (PyObject_Hash(made) == -1) {
        Py_DECREF(made);
        return NULL;
    }
    Py_XDECREF(seen[1].key);
    seen[1] = seen[0];
    seen[0] = (SeenKey){Py_NewRef(made), hash, len};
    return made;
}

/* The key whose opening quote `at` is behind. */
static PyObject *key(Reader *r) {
    const uint8_t *from = r->at;
    int seen = 0;
    const uint8_t *close = string_end(from, r->end, &seen);
    if (close == NULL) {
        return NULL;
    }
    r->at = close + 1;
    size_t len = (size_t)(close - from);
    if (seen || len > LONGEST_KEY || len == 0) {
        return seen ? wide_string(from, close, r->end) : _PyUnicode_FromASCII((const char *)from, close - from);
    }
    uint32_t hash = key_hash(from, close);
    SeenKey *seen_keys = keys[hash % KEYS];
    for (int n = 0; n < 2; n++) {
        PyObject *found = seen_keys[n].key;
        if (seen_keys[n].hash == hash && seen_keys[n].len == len && found && same_bytes(PyUnicode_1BYTE_DATA(found), from, len)) {
            return Py_NewRef(found);
        }
    }
    return new_key(_PyUnicode_FromASCII((const char *)from, close - from), seen_keys, hash, (uint32_t)len);
}

/* A number that is too long or too large for the quick way. A float beyond a double is the largest there is. */
static PyObject *long_number(const uint8_t *from, const uint8_t *end, int kind) {
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)from, end - from);
    PyObject *found = bytes ? PyObject_CallOneArg(decode_function, bytes) : NULL;
    Py_XDECREF(bytes);
    if (found == NULL && kind == LONG_REAL && bytes != NULL && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
        found = PyFloat_FromDouble(*from == '-' ? -DBL_MAX : DBL_MAX);
    }
    return found;
}

/* Whether the interpreter has the one object of an integer. */
static inline int is_small(int64_t number) { return number >= -_PY_NSMALLNEGINTS && number < _PY_NSMALLPOSINTS; }

static inline PyObject *float_object(double number) {
    if (float_count == 0) {
        return PyFloat_FromDouble(number);
    }
    PyObject *found = floats[--float_count];
    ((PyFloatObject *)found)->ob_fval = number;
    return found;
}

static inline PyObject *integer_object(int64_t number) {
    uint64_t size = number < 0 ? -(uint64_t)number : (uint64_t)number;
    if (integer_count == 0 || size > PyLong_MASK || is_small(number)) {
        return PyLong_FromLongLong(number);
    }
    PyLongObject *found = (PyLongObject *)integers[--integer_count];
    _PyLong_SetSignAndDigitCount(found, number < 0 ? -1 : 1, 1);
    found->long_value.ob_digit[0] = (digit)size;
    return (PyObject *)found;
}

/* Gives up the reference to a value; a number of usual size that nobody else has is kept. */
static inline void release(PyObject *value) {
    if (Py_REFCNT(value) != 1) {
        Py_DECREF(value);
    } else if (PyFloat_CheckExact(value) && float_count < NUMBERS) {
        floats[float_count++] = value;
    } else if (PyLong_CheckExact(value) && integer_count < NUMBERS && _PyLong_DigitCount((PyLongObject *)value) == 1) {
        integers[integer_count++] = value;
    } else {
        Py_DECREF(value);
    }
}

static PyObject *number_object(Reader *r) {
    const uint8_t *from = r->at;
    Number found;
    int kind = number(&r->at, r->end, &found);
    switch (kind) {
    case WHOLE:
        return integer_object(found.whole);
    case REAL:
        return float_object(found.real);
    case NO_NUMBER:
        return NULL;
    default:
        return long_number(from, r->at, kind);
    }
}

static PyObject *word(Reader *r, const char *text, size_t len, PyObject *object) {
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, text, len) != 0) {
        return NULL;
    }
    r->at += len;
    return Py_NewRef(object);
}

/* A member of an object, from its key on. */
static int member(Reader *r) {
    const uint8_t *start = r->at;
    if (r->at >= r->end || *r->at++ != '"') {
        return -1;
    }
    PyObject *name = key(r);
    if (name == NULL) {
        return -1;
    }
    r->at = skip_space(r->at, r->end);
    size_t n = r->record->count;
    if (r->at >= r->end || *r->at != ':') {
        Py_DECREF(name);
        return -1;
    }
    r->at = skip_space(r->at + 1, r->end);
    int failed = value(r);
    if (r->record->count == n) {
        Py_DECREF(name);
        return -1;
    }
    Node *node = &r->record->nodes[n];
    node->key = name;
    node->key_at = (uint32_t)(start - r->text);
    return failed || push(name) || push(node->value) ? -1 : 0;
}

static int element(Reader *r) {
    size_t n = r->record->count;
    return value(r) || push(r->record->nodes[n].value) ? -1 : 0;
}

/* Members or elements up to the closing bracket, onto the stack. */
static inline __attribute__((always_inline)) int parts(Reader *r, int (*part)(Reader *), uint8_t close) {
    r->at = skip_space(r->at + 1, r->end);
    if (r->at < r->end && *r->at == close) {
        r->at++;
        return 0;
    }
    for (;;) {
        if (part(r) < 0) {
            return -1;
        }
        r->at = skip_space(r->at, r->end);
        if (r->at >= r->end) {
            return -1;
        }
        uint8_t c = *r->at++;
        if (c == close) {
            return 0;
        }
        if (c != ',') {
            return -1;
        }
        r->at = skip_space(r->at, r->end);
    }
}

static PyObject *list_of(PyObject **items, size_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyList_SET_ITEM(list, i, Py_NewRef(items[i]));
    }
    return list;
}

static PyObject *container(Reader *r, size_t node, int object) {
    if (Py_EnterRecursiveCall(" while deserializing an object")) {
        return NULL;
    }
    size_t base = stack_len;
    PyObject *made = NULL;
    if ((object ? parts(r, member, '}') : parts(r, element, ']')) == 0) {
        PyObject **items = stack + base;
        size_t count = stack_len - base;
        made = object ? _PyDict_FromItems(items, 2, items + 1, 2, (Py_ssize_t)count / 2) : list_of(items, count);
        int twice = object && made && PyDict_GET_SIZE(made) != (Py_ssize_t)count / 2;
        r->record->nodes[node].flags = twice ? TWICE : 0;
    }
    stack_len = base;
    Py_LeaveRecursiveCall();
    return made;
}

/* The value at `at`, and its nodes. */
static int value(Reader *r) {
    if (r->at >= r->end) {
        return -1;
    }
    size_t n = r->record->count;
    if (new_node(r) == NULL) {
        return -1;
    }
    PyObject *found;
    uint8_t c = *r->at;
    switch (c) {
    case '"':
        r->at++;
        found = text_value(r);
        break;
    case '{':
    case '[':
        found = container(r, n, c == '{');
        break;
    case 't':
        found = word(r, "true", 4, Py_True);
        break;
    case 'f':
        found = word(r, "false", 5, Py_False);
        break;
    case 'n':
        found = word(r, "null", 4, Py_None);
        break;
    default:
        found = number_object(r);
    }
    Node *node = &r->record->nodes[n];
    node->value = found;
    node->to = (uint32_t)(r->at - r->text);
    node->after = (uint32_t)r->record->count;
    return found == NULL ? -1 : 0;
}

PyObject *record_read(Record *record, const uint8_t *text, size_t len) {
    Reader r = {record, text, skip_space(text, text + len), text + len};
    record->count = 0;
    stack_len = 0;
    make_room(record, text, len);
    if (value(&r) == 0 && skip_space(r.at, r.end) == r.end) {
        return Py_NewRef(record->nodes[0].value);
    }
    record_clear(record);
    /* msgspec may have the memory that the record had not, but then the digits of what is left alone would be lost. */
    if (PyErr_ExceptionMatches(PyExc_Exception) && !PyErr_ExceptionMatches(PyExc_MemoryError)) {
        PyErr_Clear();
    }
    return NULL;
}

void record_clear(Record *record) {
    Node *nodes = record->nodes;
    size_t count = record->count;
    record->count = 0;
    for (size_t i = 0; i < count; i++) {
        Py_XDECREF(nodes[i].key);
        if (nodes[i].value != NULL) {
            release(nodes[i].value);
        }
    }
    if (record->room > KEPT_NODES) {
        free(record->nodes);
        *record = (Record){0};
    }
    if (stack_room > KEPT_NODES) {
        free(stack);
        stack = NULL;
        stack_room = 0;
    }
}
