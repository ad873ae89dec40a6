/* JSON text into JavaScript's values: what `JSON.parse` gives, and the record of it.
 *
 * A number beyond a double is the largest there is. */
#include "record.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "lex.h"
#include "room.h"

/* Levels of nesting that are read here; no document has more (wasm-runtime/src/json/validate). */
#define DEPTH 200
/* Members up to which each key is compared with all before it. */
#define FEW 32

/* Elements of lists in work, innermost last. */
static JSValue *stack;
static size_t stack_len, stack_room;
/* Bytes of a string without its escapes, of which longer ones have memory of their own. */
static uint8_t short_text[4096];

/* Keys seen lately, by their bytes. */
#define KEYS 2048
#define LONGEST_KEY 48
static struct {
    JSAtom key;
    uint32_t hash;
    uint8_t len;
    char text[LONGEST_KEY];
} keys[KEYS];

typedef struct {
    JSContext *context;
    Record *record;
    const uint8_t *text, *at, *end;
    int depth;
} Reader;

static int value(Reader *r);

/* Room for one more in an array that grows; NULL if there is no memory. */
static void *grown(void *array, size_t *room, size_t size) {
    size_t more = *room ? *room * 2 : 256;
    void *found = realloc(array, more * size);
    *room = found ? more : *room;
    return found;
}

static Node *new_node(Reader *r) {
    Record *record = r->record;
    if (record->count == record->room) {
        Node *found = grown(record->nodes, &record->room, sizeof(Node));
        if (found == NULL) {
            JS_ThrowOutOfMemory(r->context);
            return NULL;
        }
        record->nodes = found;
    }
    Node *node = &record->nodes[record->count++];
    uint32_t at = (uint32_t)(r->at - r->text);
    *node = (Node){.value = JS_UNDEFINED, .key = JS_ATOM_NULL, .key_at = at, .from = at};
    return node;
}

static int push(JSContext *context, JSValue item) {
    if (stack_len == stack_room) {
        JSValue *found = grown(stack, &stack_room, sizeof *stack);
        if (found == NULL) {
            JS_ThrowOutOfMemory(context);
            return -1;
        }
        stack = found;
    }
    stack[stack_len++] = item;
    return 0;
}

JSValue json_value(JSContext *context, const uint8_t *text, size_t len) {
    /* The parser wants a zero behind the text. */
    char *copy = malloc(len + 1);
    if (copy == NULL) {
        return JS_ThrowOutOfMemory(context);
    }
    memcpy(copy, text, len);
    copy[len] = 0;
    JSValue found = JS_ParseJSON(context, copy, len, "<document>");
    free(copy);
    return found;
}

/* Takes the escapes out of a string; the end of what is written, which is no longer. NULL for half a pair of surrogates. */
static uint8_t *unescape(const uint8_t *at, const uint8_t *end, uint8_t *to) {
    while (at < end) {
        if (end - at >= 16) {
            v128_t v = wasm_v128_load(at);
            wasm_v128_store(to, v);
            uint32_t stop = wasm_i8x16_bitmask(wasm_i8x16_eq(v, wasm_i8x16_splat('\\')));
            int n = stop ? __builtin_ctz(stop) : 16;
            at += n;
            to += n;
            if (n == 16) {
                continue;
            }
        }
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        at++;
        int32_t c = at < end ? escaped(&at, end) : -1;
        if (c < 0) {
            return NULL;
        }
        if (c < 0x80) {
            *to++ = (uint8_t)c;
        } else {
            to = put_char(to, (uint32_t)c);
        }
    }
    return to;
}

/* A string with escapes. */
static JSValue escaped_string(JSContext *context, const uint8_t *at, const uint8_t *end) {
    size_t len = (size_t)(end - at);
    uint8_t *bytes = len <= sizeof short_text ? short_text : malloc(len);
    if (bytes == NULL) {
        return JS_ThrowOutOfMemory(context);
    }
    const uint8_t *behind = unescape(at, end, bytes);
    JSValue made = behind ? JS_NewStringLen(context, (const char *)bytes, (size_t)(behind - bytes)) : JS_UNDEFINED;
    if (bytes != short_text) {
        free(bytes);
    }
    return behind ? made : json_value(context, at - 1, len + 2);
}

static JSValue string_of(JSContext *context, const uint8_t *at, const uint8_t *end, int seen) {
    return seen & ESCAPES ? escaped_string(context, at, end) : JS_NewStringLen(context, (const char *)at, (size_t)(end - at));
}

/* The end of a string whose opening quote `at` is behind; `at` goes behind it. */
static const uint8_t *close_of(Reader *r, int *seen) {
    *seen = 0;
    const uint8_t *close = string_end(r->at, r->end, seen);
    r->at = close ? close + 1 : r->end;
    return close;
}

static JSValue text_value(Reader *r) {
    const uint8_t *from = ++r->at;
    int seen;
    const uint8_t *close = close_of(r, &seen);
    if (close == NULL) {
        return JS_EXCEPTION;
    }
    return string_of(r->context, from, close, seen);
}

static JSAtom atom_of(Reader *r, const uint8_t *from, const uint8_t *close, int seen) {
    if (seen == 0) {
        return JS_NewAtomLen(r->context, (const char *)from, (size_t)(close - from));
    }
    JSValue text = string_of(r->context, from, close, seen);
    JSAtom atom = JS_IsException(text) ? JS_ATOM_NULL : JS_ValueToAtom(r->context, text);
    JS_FreeValue(r->context, text);
    return atom;
}

/* The key at `at`; JS_ATOM_NULL if there is none. */
static JSAtom key(Reader *r) {
    if (r->at >= r->end || *r->at != '"') {
        return JS_ATOM_NULL;
    }
    const uint8_t *from = ++r->at;
    int seen;
    const uint8_t *close = close_of(r, &seen);
    if (close == NULL) {
        return JS_ATOM_NULL;
    }
    size_t len = (size_t)(close - from);
    if (seen || len > LONGEST_KEY || len == 0) {
        return atom_of(r, from, close, seen);
    }
    uint32_t hash = key_hash(from, close), slot = hash % KEYS;
    if (keys[slot].key != JS_ATOM_NULL && keys[slot].hash == hash && keys[slot].len == len && same_bytes((const uint8_t *)keys[slot].text, from, len)) {
        return JS_DupAtom(r->context, keys[slot].key);
    }
    JSAtom found = atom_of(r, from, close, seen);
    if (found != JS_ATOM_NULL) {
        JS_FreeAtom(r->context, keys[slot].key);
        keys[slot].key = JS_DupAtom(r->context, found);
        keys[slot].hash = hash;
        keys[slot].len = (uint8_t)len;
        memcpy(keys[slot].text, from, len);
    }
    return found;
}

static JSValue long_number(Reader *r, const uint8_t *from) {
    JSValue found = json_value(r->context, from, (size_t)(r->at - from));
    double number;
    if (!JS_IsException(found) && JS_ToFloat64(r->context, &number, found) == 0 && isinf(number)) {
        return JS_NewFloat64(r->context, number < 0 ? -DBL_MAX : DBL_MAX);
    }
    return found;
}

static JSValue number_value(Reader *r) {
    const uint8_t *from = r->at;
    Number found;
    switch (number(&r->at, r->end, &found)) {
    case WHOLE:
        if (found.whole == 0 && found.negative) {
            return JS_NewFloat64(r->context, -0.0);
        }
        return JS_NewInt64(r->context, found.whole);
    case REAL:
        return JS_NewNumber(r->context, found.real);
    case NO_NUMBER:
        return JS_EXCEPTION;
    default:
        return long_number(r, from);
    }
}

static JSValue word(Reader *r, const char *text, size_t len, JSValue found) {
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, text, len) != 0) {
        return JS_EXCEPTION;
    }
    r->at += len;
    return found;
}

/* A member, from its key on, into the object of node `into`. */
static int member(Reader *r, size_t into) {
    uint32_t start = (uint32_t)(r->at - r->text);
    JSAtom name = key(r);
    if (name == JS_ATOM_NULL) {
        return -1;
    }
    r->at = skip_space(r->at, r->end);
    size_t n = r->record->count;
    int failed = 1;
    if (r->at < r->end && *r->at == ':') {
        r->at = skip_space(r->at + 1, r->end);
        failed = value(r);
    }
    if (r->record->count == n) {
        JS_FreeAtom(r->context, name);
        return -1;
    }
    Node *node = &r->record->nodes[n];
    node->key = name;
    node->key_at = start;
    JSValueConst object = r->record->nodes[into].value;
    return failed ||
                   JS_DefinePropertyValue(r->context, object, name, JS_DupValue(r->context, node->value), JS_PROP_C_W_E) < 0
               ? -1
               : 0;
}

static int element(Reader *r, size_t into) {
    size_t n = r->record->count;
    return value(r) || push(r->context, r->record->nodes[n].value) ? -1 : 0;
}

/* Members or elements of node `into`, up to the closing bracket. */
static int parts(Reader *r, size_t into, int (*part)(Reader *, size_t), uint8_t close) {
    r->at = skip_space(r->at + 1, r->end);
    if (r->at < r->end && *r->at == close) {
        r->at++;
        return 0;
    }
    for (;;) {
        if (part(r, into) < 0) {
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

/* Whether a key stands twice in an object; of one with many members by their number. -1 with an exception. */
static int has_double(Reader *r, size_t into) {
    Node *nodes = r->record->nodes;
    JSAtom seen[FEW];
    uint32_t count = 0, more = 0;
    for (size_t at = into + 1; at < nodes[into].after; at = nodes[at].after, count++) {
        for (uint32_t i = 0; i < count && i < FEW; i++) {
            more |= seen[i] == nodes[at].key;
        }
        if (count < FEW) {
            seen[count] = nodes[at].key;
        }
    }
    if (count <= FEW || more) {
        return (int)more;
    }
    JSPropertyEnum *names;
    uint32_t found = 0;
    if (JS_GetOwnPropertyNames(r->context, &names, &found, nodes[into].value, JS_GPN_STRING_MASK) < 0) {
        return -1;
    }
    JS_FreePropertyEnum(r->context, names, found);
    return found != count;
}

static JSValue object(Reader *r, size_t node) {
    JSValue made = JS_NewObject(r->context);
    r->record->nodes[node].value = made;
    if (JS_IsException(made) || parts(r, node, member, '}') < 0) {
        return JS_EXCEPTION;
    }
    r->record->nodes[node].after = (uint32_t)r->record->count;
    int twice = has_double(r, node);
    r->record->nodes[node].twice = twice > 0;
    return twice < 0 ? JS_EXCEPTION : made;
}

static JSValue list(Reader *r, size_t node) {
    size_t base = stack_len;
    JSValue made = JS_EXCEPTION;
    if (parts(r, node, element, ']') == 0) {
        for (size_t i = base; i < stack_len; i++) {
            JS_DupValue(r->context, stack[i]);
        }
        made = JS_NewArrayFrom(r->context, (int)(stack_len - base), stack + base);
    }
    stack_len = base;
    return made;
}

static JSValue container(Reader *r, size_t node) {
    if (r->depth == DEPTH) {
        return JS_EXCEPTION;
    }
    r->depth++;
    JSValue made = *r->at == '{' ? object(r, node) : list(r, node);
    r->depth--;
    return made;
}

/* The value at `at`, and its nodes. */
static int value(Reader *r) {
    size_t n = r->record->count;
    if (r->at >= r->end || new_node(r) == NULL) {
        return -1;
    }
    JSValue found;
    switch (*r->at) {
    case '"':
        found = text_value(r);
        break;
    case '{':
    case '[':
        found = container(r, n);
        break;
    case 't':
        found = word(r, "true", 4, JS_TRUE);
        break;
    case 'f':
        found = word(r, "false", 5, JS_FALSE);
        break;
    case 'n':
        found = word(r, "null", 4, JS_NULL);
        break;
    default:
        found = number_value(r);
    }
    if (JS_IsException(found)) {
        return -1;
    }
    Node *node = &r->record->nodes[n];
    node->value = found;
    node->to = (uint32_t)(r->at - r->text);
    node->after = (uint32_t)r->record->count;
    return 0;
}

JSValue record_read(JSContext *context, Record *record, const uint8_t *text, size_t len) {
    Reader r = {context, record, text, skip_space(text, text + len), text + len, 0};
    record->count = 0;
    record->text = text;
    stack_len = 0;
    make_room(record, text, len);
    if (value(&r) == 0 && skip_space(r.at, r.end) == r.end) {
        return JS_DupValue(context, record->nodes[0].value);
    }
    record_clear(context, record);
    /* Without memory for the record the digits of what is left alone would be lost. */
    return JS_HasException(context) ? JS_EXCEPTION : json_value(context, text, len);
}

void record_clear(JSContext *context, Record *record) {
    Node *nodes = record->nodes;
    size_t count = record->count;
    record->count = 0;
    for (size_t i = 0; i < count; i++) {
        JS_FreeAtom(context, nodes[i].key);
        JS_FreeValue(context, nodes[i].value);
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
