/* JavaScript's values into JSON text: what `JSON.stringify` writes of them, but where a value is the one that was read, or a
 * number equal to it, its place. */
#include "record.h"

#include <stdio.h>

#include "lookup.h"
#include "numbers.h"

static JSClassID object_class, list_class;

static int is_class(JSValueConst value, JSClassID class) { return JS_IsObject(value) && JS_GetClassID(value) == class; }

typedef JSAtom Key;
static inline int same_key(Key key, Key other) { return key == other; }
static inline uint32_t key_number(Key key) { return key; }
static inline int is_object(const Node *node) { return is_class(node->value, object_class); }
static inline int has_twice(const Node *node) { return (int)node->twice; }

#include "members.h"

/* Levels of nesting that an answer may have; no document has so many (wasm-runtime/src/json/validate). */
#define DEPTH 200

/* A list in work beside the one that stood in its place. */
typedef struct {
    JSValueConst value;
    const Node *was;
    /* Whether all elements that were read stand in it as they were; -1 until that is asked. */
    int whole;
} List;

typedef struct {
    JSContext *context;
    const Record *record;
    Answer *to;
    /* The lists and objects that were read, by their addresses; empty until one is somewhere else. */
    Lookup places;
    Members members;
    /* The list in which nothing but a place says what the value in work was, or what it is in: what stood there may have moved.
     * NULL where its key says it, or what it is in was read. */
    List *placed;
    /* The doubles of the document; empty until one is asked for. */
    Numbers numbers;
    /* Of the value in work, for `toJSON`: its key, or its place in a list. */
    JSAtom key;
    int64_t index;
    /* The objects and lists in work, outermost first: none may stand in itself. */
    JSValueConst path[DEPTH];
    int depth;
} Writer;

static JSAtom to_json;
/* The function that gives the interpreter what is to be written, once its `toJSON` has been asked; and that value, till then. */
static JSValue replacer;
static JSValueConst *replacement;

static int write_value(Writer *w, JSValueConst value, const Node *was);

static JSValue replace(JSContext *context, JSValueConst self, int argc, JSValueConst *argv) {
    JSValueConst value = replacement ? *replacement : argv[1];
    replacement = NULL;
    return JS_DupValue(context, value);
}

void record_boot(JSContext *context) {
    JSValue object = JS_NewObject(context), list = JS_NewArray(context);
    object_class = JS_GetClassID(object);
    list_class = JS_GetClassID(list);
    to_json = JS_NewAtom(context, "toJSON");
    replacer = JS_NewCFunction(context, replace, "", 2);
    JS_FreeValue(context, object);
    JS_FreeValue(context, list);
}

/* Text of the interpreter for what is rare, whose own `toJSON` has been asked; 0 for what no JSON can show. */
static int write_by_interpreter(Writer *w, JSValueConst value) {
    replacement = &value;
    JSValue json = JS_JSONStringify(w->context, JS_UNDEFINED, replacer, JS_UNDEFINED);
    replacement = NULL;
    if (JS_IsUndefined(json)) {
        return 0;
    }
    size_t len;
    const char *text = JS_IsException(json) ? NULL : JS_ToCStringLen(w->context, &len, json);
    JS_FreeValue(w->context, json);
    if (text == NULL) {
        return -1;
    }
    answer_put(w->to, text, len);
    JS_FreeCString(w->context, text);
    return 1;
}

static void write_escape(Answer *to, uint32_t unit) {
    static const char hex[] = "0123456789abcdef", letters[] = "btn?fr";
    char text[6] = {'\\', 'u', hex[unit >> 12], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};
    if (unit == '"' || unit == '\\') {
        text[1] = (char)unit;
    } else if (unit >= 8 && unit <= 13 && unit != 11) {
        text[1] = letters[unit - 8];
    }
    answer_put(to, text, text[1] == 'u' ? 6 : 2);
}

/* UTF-8 of a string as JSON: half a pair of surrogates, which UTF-8 has not, stands there as three bytes. */
static void write_text(Answer *to, const uint8_t *at, size_t len) {
    const uint8_t *end = at + len, *from = at;
    answer_byte(to, '"');
    for (; at < end; at++) {
        int half = *at == 0xed && end - at > 2 && at[1] >= 0xa0;
        if (*at >= 0x20 && *at != '"' && *at != '\\' && !half) {
            continue;
        }
        answer_put(to, from, (size_t)(at - from));
        write_escape(to, half ? 0xd000u | (at[1] & 63u) << 6 | (at[2] & 63u) : *at);
        at += half ? 2 : 0;
        from = at + 1;
    }
    answer_put(to, from, (size_t)(end - from));
    answer_byte(to, '"');
}

static int write_string(Writer *w, JSValueConst value) {
    size_t len;
    const char *text = JS_ToCStringLen(w->context, &len, value);
    if (text == NULL) {
        return -1;
    }
    write_text(w->to, (const uint8_t *)text, len);
    JS_FreeCString(w->context, text);
    return 1;
}

static int write_key(Writer *w, JSAtom key) {
    size_t len;
    const char *text = JS_AtomToCStringLen(w->context, &len, key);
    if (text == NULL) {
        return -1;
    }
    write_text(w->to, (const uint8_t *)text, len);
    answer_byte(w->to, ':');
    JS_FreeCString(w->context, text);
    return 1;
}

/* Whether a string, a truth value or a null is the one that was read. */
static int same_scalar(JSValueConst value, JSValueConst was) {
    int tag = JS_VALUE_GET_NORM_TAG(value);
    if (tag != JS_VALUE_GET_NORM_TAG(was)) {
        return 0;
    }
    return tag == JS_TAG_STRING ? JS_VALUE_GET_PTR(was) == JS_VALUE_GET_PTR(value)
                                : (tag == JS_TAG_BOOL || tag == JS_TAG_NULL) && JS_VALUE_GET_INT(was) == JS_VALUE_GET_INT(value);
}

static int same_object(JSValueConst value, const Node *was) {
    return was && JS_IsObject(was->value) && JS_VALUE_GET_PTR(was->value) == JS_VALUE_GET_PTR(value);
}

/* Whether an element is the one that was read, as far as JavaScript tells. */
static int same_element(JSValueConst item, const Node *was) {
    return JS_IsNumber(item)   ? JS_IsNumber(was->value) && double_of(was->value) == double_of(item)
           : JS_IsObject(item) ? same_object(item, was)
                               : same_scalar(item, was->value);
}

/* Whether all elements that were read stand in a list as they were: then its numbers are taken for those that were read. */
static int is_whole(Writer *w, List *list) {
    const Node *nodes = w->record->nodes, *at = list->whole < 0 ? list->was + 1 : NULL;
    for (int64_t place = 0; list->whole < 0 && at < nodes + list->was->after; at = nodes + at->after) {
        JSValue item = JS_GetPropertyInt64(w->context, list->value, place++);
        if (JS_IsException(item)) {
            JS_FreeValue(w->context, JS_GetException(w->context));
            list->whole = 0;
        } else if (!same_element(item, at)) {
            list->whole = 0;
        }
        JS_FreeValue(w->context, item);
    }
    list->whole = list->whole != 0;
    return list->whole;
}

/* Whether a number that is where `was` stood, and the same double, is written as that: another one of the document may be the
 * same double, too, and have been moved there. */
static int keeps_digits(Writer *w, const Node *was) {
    double number = double_of(was->value);
    if (!w->placed || is_usual(w->record->text + was->from, was->to - was->from, number)) {
        return 1;
    }
    if (w->numbers.entries == NULL && !numbers_fill(&w->numbers, w->record)) {
        w->to->failed = 1;
        return 0;
    }
    return numbers_agree(&w->numbers, number) || is_whole(w, w->placed);
}

static int write_number(Writer *w, JSValueConst value, const Node *was) {
    if (was && JS_IsNumber(was->value) && double_of(was->value) == double_of(value) && keeps_digits(w, was)) {
        piece_copy(w->to, was->from, was->to);
        return 1;
    }
    const char *digits = isfinite(double_of(value)) ? JS_ToCString(w->context, value) : NULL;
    if (digits == NULL && JS_HasException(w->context)) {
        return -1;
    }
    answer_put(w->to, digits ? digits : "null", digits ? strlen(digits) : 4);
    JS_FreeCString(w->context, digits);
    return 1;
}

/* Whether a part whose node is `next` stands in the text right behind the last one written. */
static int follows(const Writer *w, const Node *was, const Node *last, const Node *next, int first) {
    return next && (last ? w->record->nodes + last->after == next : first && next == was + 1);
}

/* The text between two parts: as it stands between them, or a comma; before the first one the bracket. */
static void separate(Writer *w, const Node *was, const Node *last, const Node *next, int first, char bracket) {
    if (was && follows(w, was, last, next, first)) {
        piece_copy(w->to, last ? last->to : was->from, next->key_at);
    } else {
        answer_byte(w->to, first ? bracket : ',');
    }
}

/* The text behind the last part, with the closing bracket. */
static void close_parts(Writer *w, const Node *was, const Node *last, int none, const char *brackets) {
    const Node *end = was ? w->record->nodes + was->after : NULL;
    if (was && none && was + 1 == end) {
        piece_copy(w->to, was->from, was->to);
    } else if (last && w->record->nodes + last->after == end) {
        piece_copy(w->to, last->to, was->to);
    } else {
        answer_put(w->to, none ? brackets : brackets + 1, none ? 2 : 1);
    }
}

/* What stands there is no text: forget it. */
static void take_back(Answer *to, const Answer *before) {
    to->len = before->len;
    to->piece = before->piece;
    to->from = before->from;
    to->to = before->to;
    to->size = before->size;
}

/* A member, its key and what is before it; 0 if it is left out. */
static int write_member(Writer *w, JSValueConst item, JSAtom key, const Node *was, const Node *last, const Node *node, int first) {
    Answer *to = w->to;
    const Answer before = *to;
    separate(w, was, last, node, first, '{');
    if (node) {
        piece_copy(to, node->key_at, node->from);
    } else if (write_key(w, key) < 0) {
        return -1;
    }
    w->key = key;
    int written = write_value(w, item, node);
    if (written == 0) {
        take_back(to, &before);
    }
    return written;
}

static int write_members(Writer *w, JSValueConst value, const Node *was, const JSPropertyEnum *names, uint32_t count) {
    const Node *next = was ? was + 1 : NULL, *last = NULL;
    int first = 1;
    for (uint32_t i = 0; i < count; i++) {
        JSAtom key = names[i].atom;
        const Node *node = was ? member_of(&w->members, was, next, key) : NULL;
        JSValue item = JS_GetProperty(w->context, value, key);
        int written = JS_IsException(item) ? -1 : write_member(w, item, key, was, last, node, first);
        JS_FreeValue(w->context, item);
        if (written < 0 || w->to->failed) {
            return -1;
        }
        next = node ? w->record->nodes + node->after : next;
        if (written > 0) {
            last = node;
            first = 0;
        }
    }
    close_parts(w, was, last, first, "{}");
    return 1;
}

static int write_object(Writer *w, JSValueConst value, const Node *was) {
    JSPropertyEnum *names;
    uint32_t count;
    if (JS_GetOwnPropertyNames(w->context, &names, &count, value, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) < 0) {
        return -1;
    }
    int written = write_members(w, value, was, names, count);
    JS_FreePropertyEnum(w->context, names, count);
    return written;
}

/* Which elements of a list have stood in their place: all of one with as many as there were; of a longer one those before the
 * first that is another one; of a shorter one none, for any may be missing. */
enum alignment { SHIFTED, APPENDED, ALIGNED };

static enum alignment aligned(const Writer *w, const Node *was, int64_t count) {
    const Node *nodes = w->record->nodes;
    for (const Node *at = was + 1; was && count >= 0 && at < nodes + was->after; at = nodes + at->after) {
        count--;
    }
    return count < 0 ? SHIFTED : count > 0 ? APPENDED : ALIGNED;
}

/* What an element may be written beside: numbers, and objects that are new, have nothing but their place to say what they were. */
static const Node *beside(JSValueConst item, const Node *node, enum alignment *kept) {
    int number = JS_IsNumber(item), object = JS_IsObject(item), same = same_element(item, node);
    if (*kept == APPENDED && !same) {
        *kept = SHIFTED;
    }
    return *kept == ALIGNED || (*kept == APPENDED && same) || !(number || object) || (object && same) ? node : NULL;
}

/* A list, beside the one that stood in its place if there was one. `each`: what stood in the place of each. */
static int write_list(Writer *w, JSValueConst value, const Node *was, const Node *each) {
    const Node *nodes = w->record->nodes, *next = was ? was + 1 : NULL, *last = NULL;
    int64_t count;
    if (JS_GetLength(w->context, value, &count) < 0) {
        return -1;
    }
    enum alignment kept = aligned(w, was, count);
    List list = {value, was, was && kept != SHIFTED ? -1 : 0};
    for (int64_t i = 0; i < count; i++) {
        const Node *node = was && next < nodes + was->after ? next : NULL;
        separate(w, was, last, node, i == 0, '[');
        JSValue item = JS_GetPropertyInt64(w->context, value, i);
        w->key = JS_ATOM_NULL;
        w->index = i;
        w->placed = &list;
        int written = JS_IsException(item) ? -1 : write_value(w, item, node ? beside(item, node, &kept) : each);
        JS_FreeValue(w->context, item);
        if (written < 0 || w->to->failed) {
            return -1;
        }
        if (written == 0) {
            answer_put(w->to, "null", 4);
        }
        last = node;
        next = node ? nodes + node->after : next;
    }
    close_parts(w, was, last, count == 0, "[]");
    return 1;
}

/* Fills the table of lists and objects; 0 if there is no memory. */
static int find_places(Writer *w) {
    const Node *nodes = w->record->nodes;
    for (size_t n = 0; n < w->record->count; n++) {
        uint32_t address = JS_IsObject(nodes[n].value) ? (uint32_t)(uintptr_t)JS_VALUE_GET_PTR(nodes[n].value) : 0;
        if (address && !lookup_add(&w->places, address, (uint32_t)n)) {
            return 0;
        }
    }
    lookup_sort(&w->places);
    return 1;
}

/* The node of a list or object that was read, wherever it stands now; of any other one `was`, what stood in its place. */
static const Node *origin_of(Writer *w, JSValueConst value, const Node *was) {
    uint32_t address = (uint32_t)(uintptr_t)JS_VALUE_GET_PTR(value);
    if (same_object(value, was)) {
        return was;
    }
    if (w->places.count == 0 && !find_places(w)) {
        w->to->failed = 1;
        return was;
    }
    size_t at = lookup_end(&w->places, address);
    return lookup_has(&w->places, at, address) ? w->record->nodes + lookup_node(&w->places, at) : was;
}

/* Whether a value is written as a list or as an object, by its class or that of a proxy's target; 0 for neither. */
static JSClassID plain_class(JSContext *context, JSValueConst value) {
    if (!JS_IsProxy(value)) {
        JSClassID class = JS_GetClassID(value);
        return class == object_class || class == list_class ? class : 0;
    }
    JSValue at = JS_DupValue(context, value);
    while (JS_IsProxy(at)) {
        JSValue target = JS_GetProxyTarget(context, at);
        JS_FreeValue(context, at);
        at = target;
    }
    JSClassID class = is_class(at, list_class) ? list_class : object_class;
    JS_FreeValue(context, at);
    return class;
}

static int write_container(Writer *w, JSValueConst value, const Node *was) {
    JSClassID class = plain_class(w->context, value);
    if (class == 0) {
        return write_by_interpreter(w, value);
    }
    for (int i = 0; i < w->depth; i++) {
        if (JS_VALUE_GET_PTR(w->path[i]) == JS_VALUE_GET_PTR(value)) {
            JS_ThrowTypeError(w->context, "circular reference");
            return -1;
        }
    }
    if (w->depth == DEPTH) {
        JS_ThrowRangeError(w->context, "the answer has more than %d levels", DEPTH);
        return -1;
    }
    List *placed = w->placed;
    was = origin_of(w, value, was);
    w->placed = same_object(value, was) ? NULL : placed;
    w->path[w->depth++] = value;
    was = was && is_class(was->value, class) ? was : NULL;
    int written = class == object_class ? write_object(w, value, was) : write_list(w, value, was, NULL);
    w->depth--;
    w->placed = placed;
    return written;
}

/* What `toJSON` makes of an object: `value` itself where there is none. To be freed. */
static JSValue shown(Writer *w, JSValueConst value) {
    JSValue method = JS_GetProperty(w->context, value, to_json);
    if (!JS_IsFunction(w->context, method)) {
        int failed = JS_IsException(method);
        JS_FreeValue(w->context, method);
        return failed ? JS_EXCEPTION : JS_DupValue(w->context, value);
    }
    char index[24] = "";
    if (w->index >= 0) {
        snprintf(index, sizeof index, "%lld", (long long)w->index);
    }
    JSValue name = w->key ? JS_AtomToString(w->context, w->key) : JS_NewString(w->context, index);
    JSValue found = JS_Call(w->context, method, value, 1, (JSValueConst *)&name);
    JS_FreeValue(w->context, name);
    JS_FreeValue(w->context, method);
    return found;
}

static int write_scalar(Writer *w, JSValueConst value, const Node *was) {
    int tag = JS_VALUE_GET_NORM_TAG(value);
    if (tag == JS_TAG_INT || tag == JS_TAG_FLOAT64) {
        return write_number(w, value, was);
    }
    if (was && same_scalar(value, was->value)) {
        piece_copy(w->to, was->from, was->to);
        return 1;
    }
    if (JS_IsString(value)) {
        return write_string(w, value);
    }
    if (tag == JS_TAG_BOOL || tag == JS_TAG_NULL) {
        const char *word = tag == JS_TAG_NULL ? "null" : JS_VALUE_GET_BOOL(value) ? "true" : "false";
        answer_put(w->to, word, strlen(word));
        return 1;
    }
    return write_by_interpreter(w, value);
}

/* `was`: what stood in its place. */
static int write_value(Writer *w, JSValueConst value, const Node *was) {
    if (!JS_IsObject(value) && !JS_IsBigInt(value)) {
        return write_scalar(w, value, was);
    }
    JSValue found = shown(w, value);
    int written = JS_IsException(found)  ? -1
                  : !JS_IsObject(found)  ? write_scalar(w, found, was)
                  : JS_IsFunction(w->context, found) ? 0
                                         : write_container(w, found, was);
    JS_FreeValue(w->context, found);
    return written;
}

static int write_result(Writer *w, JSValueConst result) {
    const Node *was = w->record->count ? w->record->nodes : NULL;
    if (was && is_class(was->value, object_class) && is_class(result, list_class) && origin_of(w, result, was) == was) {
        /* One document that became several: each beside the one that there was. */
        w->path[w->depth++] = result;
        return write_list(w, result, NULL, was);
    }
    return write_value(w, result, was);
}

int record_write(JSContext *context, const Record *record, JSValueConst result, Answer *to) {
    Writer w = {.context = context, .record = record, .to = to, .index = -1, .members = members_of(record, to)};
    int written = write_result(&w, result);
    lookup_free(&w.places);
    lookup_free(&w.members.sorted);
    free(w.numbers.entries);
    if (to->failed && !JS_HasException(context)) {
        JS_ThrowOutOfMemory(context);
    }
    return to->failed ? -1 : written;
}
