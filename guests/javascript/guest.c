/* The JavaScript guest: QuickJS as a WebAssembly reactor that runs UDFs for the engine (wasm-runtime/src/udf/interpreter.rs).
 *
 * Exports as of the Python guest: alloc, dealloc; boot() starts the interpreter; load(config) compiles a UDF and answers an
 * error as text, else whether it takes contexts (0 or 1); run(documents) answers the results (answer.h); interrupts() says how a
 * call is ended softly. See record.h, how documents become values and text again. What a UDF changes of the language's own objects harms nobody but itself: this file
 * parses and writes JSON by the interpreter's C functions, and looks nothing up by name once a UDF is loaded.
 */
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "quickjs.h"
#include "record.h"

#define EXPORT(name) __attribute__((export_name(name)))

__attribute__((import_module("env"), import_name("log"))) extern void host_log(int32_t level, const char *text, int32_t len);
__attribute__((import_module("wasi_snapshot_preview1"), import_name("random_get"))) extern int32_t host_random(void *at,
                                                                                                             uint32_t len);

/* Bytes of C stack that JavaScript may use: its own "stack overflow" comes before the end of the guest's stack. */
#define STACK (1 << 20)
#define FILE_NAME "<udf>"
#define LONGEST_REASON 2000

static JSRuntime *runtime;
static JSContext *context;

/* The UDF: its function, the stage's parameters, how many arguments it takes; and the answer of the last call. */
static JSValue function, parameters;
static int arity;
static const char *answer;
static Answer answers;
static Record record;

/* How the host interrupts a call from outside (wasm-runtime/src/engine/interrupt.rs): a breaker, a slot, what to write into them. */
static volatile uint32_t breaker, slot;
static struct {
    uintptr_t breaker, slot;
    uint32_t exception, bit;
} interrupt = {(uintptr_t)&breaker, (uintptr_t)&slot, 1, 1};
/* Whether the last call was. */
static int interrupted;
/* Characters of the first line before the code of a snippet. */
static int32_t first_column;

/* Says which language this is. */
EXPORT("javascript") void guest_javascript(void) {}

EXPORT("interrupts") void *guest_interrupts(void) { return &interrupt; }

EXPORT("alloc") void *guest_alloc(uint32_t len) { return malloc(len ? len : 1); }

EXPORT("dealloc") void guest_dealloc(void *at, uint32_t len) { free(at); }

/* The interpreter asks at every call and backward jump, each some thousandth time; a regular expression asks, too. */
static int on_poll(JSRuntime *rt, void *opaque) {
    if (!slot) {
        return 0;
    }
    slot = breaker = 0;
    interrupted = 1;
    return 1;
}

/* Math.random: splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), 53 bits of it. */
static uint64_t seed;

static JSValue math_random(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    uint64_t z = (seed += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return JS_NewFloat64(ctx, (double)((z ^ (z >> 31)) >> 11) * 0x1p-53);
}

/* Appends to a text that grows; `text` is NULL once there is no memory for it. */
typedef struct {
    char *text;
    size_t len, room;
} Text;

#define PUT(to, words) put(to, words, sizeof words - 1)

static void put(Text *to, const char *text, size_t len) {
    if (to->len + len + 1 > to->room) {
        size_t room = (to->len + len + 1) * 2;
        char *grown = to->room && !to->text ? NULL : realloc(to->text, room);
        if (grown == NULL) {
            free(to->text);
            to->text = NULL;
            to->room = 1;
            return;
        }
        to->text = grown;
        to->room = room;
    }
    memcpy(to->text + to->len, text, len);
    to->len += len;
    to->text[to->len] = 0;
}

/* console.*: texts as they are, all else as JSON. */
static JSValue console_log(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv, int level) {
    Text line = {0};
    for (int i = 0; i < argc; i++) {
        JSValue shown = JS_UNDEFINED;
        if (JS_IsObject(argv[i]) && !JS_IsError(argv[i]) && !JS_IsFunction(ctx, argv[i])) {
            shown = JS_JSONStringify(ctx, argv[i], JS_UNDEFINED, JS_UNDEFINED);
            if (JS_IsException(shown)) {
                JS_FreeValue(ctx, JS_GetException(ctx));
                shown = JS_UNDEFINED;
            }
        }
        size_t len;
        const char *text = JS_ToCStringLen(ctx, &len, JS_IsUndefined(shown) ? argv[i] : shown);
        JS_FreeValue(ctx, shown);
        if (text == NULL) {
            free(line.text);
            return JS_EXCEPTION;
        }
        if (i > 0) {
            PUT(&line, " ");
        }
        put(&line, text, len);
        JS_FreeCString(ctx, text);
    }
    host_log(level, line.text ? line.text : "", (int32_t)(line.text ? line.len : 0));
    free(line.text);
    return JS_UNDEFINED;
}

static void set_member(JSValueConst object, const char *name, JSValue value) {
    if (JS_SetPropertyStr(context, object, name, value) < 0) {
        __builtin_trap();
    }
}

/* Whether the interpreter was refused memory, of which it says nothing where there is none for an error. */
static int refused;

static void *noted(void *found) {
    refused |= found == NULL;
    return found;
}

static void *on_calloc(void *opaque, size_t count, size_t size) { return noted(calloc(count, size)); }

static void *on_malloc(void *opaque, size_t size) { return noted(malloc(size)); }

static void *on_realloc(void *opaque, void *at, size_t size) { return size ? noted(realloc(at, size)) : realloc(at, size); }

static void on_free(void *opaque, void *at) { free(at); }

static size_t on_size(const void *at) { return malloc_usable_size((void *)at); }

EXPORT("boot") void guest_boot(void) {
    static const JSMallocFunctions memory = {on_calloc, on_malloc, on_free, on_realloc, on_size};
    runtime = JS_NewRuntime2(&memory, NULL);
    context = runtime ? JS_NewContext(runtime) : NULL;
    if (context == NULL) {
        static const char words[] = "there is no memory for the interpreter";
        host_log(4, words, sizeof words - 1);
        __builtin_trap();
    }
    JS_SetMaxStackSize(runtime, STACK);
    JS_SetInterruptHandler(runtime, on_poll, NULL);
    JSValue global = JS_GetGlobalObject(context);
    JSValue console = JS_NewObject(context);
    static const struct {
        const char *name;
        int level;
    } levels[] = {{"debug", 1}, {"log", 2}, {"info", 2}, {"warn", 3}, {"error", 4}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        set_member(console, levels[i].name,
                   JS_NewCFunctionMagic(context, console_log, levels[i].name, 1, JS_CFUNC_generic_magic, levels[i].level));
    }
    set_member(global, "console", console);
    JSValue math = JS_GetPropertyStr(context, global, "Math");
    set_member(math, "random", JS_NewCFunction(context, math_random, "random", 0));
    JS_FreeValue(context, math);
    JS_FreeValue(context, global);
    record_boot(context);
    function = parameters = JS_UNDEFINED;
}

/* A member of an object that is a text; the empty text for any other; NULL if there is no memory. To be freed with
 * JS_FreeCString. */
static const char *text_member(JSValueConst object, const char *name) {
    JSValue value = JS_GetPropertyStr(context, object, name);
    if (JS_IsException(value)) {
        JS_FreeValue(context, JS_GetException(context));
        value = JS_UNDEFINED;
    }
    const char *text = JS_IsString(value) ? JS_ToCString(context, value) : NULL;
    JS_FreeValue(context, value);
    if (text == NULL) {
        JS_FreeValue(context, JS_GetException(context));
        value = JS_NewString(context, "");
        text = JS_ToCString(context, value);
        JS_FreeValue(context, value);
    }
    return text;
}

/* The first place in the UDF's own code that a stack trace names. */
static void place(const char *trace, int32_t *line, int32_t *column) {
    const char *at = trace ? strstr(trace, FILE_NAME ":") : NULL;
    *line = *column = 0;
    if (at != NULL) {
        char *end;
        *line = (int32_t)strtol(at + sizeof FILE_NAME, &end, 10);
        if (*end == ':') {
            *column = (int32_t)strtol(end + 1, NULL, 10);
        }
        if (*line == 1 && *column > first_column) {
            *column -= first_column;
        }
    }
}

/* A member that no setter of the UDF sees; consumes the value. */
static int define(JSValueConst object, const char *name, JSValue value) {
    return JS_IsException(value) || JS_DefinePropertyValueStr(context, object, name, value, JS_PROP_C_W_E) < 0 ? -1 : 0;
}

/* The exception that is pending, as `{"type", "reason", "line", "column"}`; another one if there is no memory for it. */
static JSValue failure(void) {
    JSValue thrown = JS_GetException(context);
    JSValue error = JS_NewObject(context);
    if (JS_IsException(error)) {
        JS_FreeValue(context, thrown);
        return error;
    }
    int failed = 0;
    int32_t line = 0, column = 0;
    if (JS_IsError(thrown)) {
        const char *name = text_member(thrown, "name"), *message = text_member(thrown, "message");
        const char *trace = text_member(thrown, "stack");
        place(trace, &line, &column);
        failed |= define(error, "type", JS_NewString(context, name && *name ? name : "Error"));
        size_t len = message ? strlen(message) : 0;
        failed |= define(error, "reason", JS_NewStringLen(context, message, len < LONGEST_REASON ? len : LONGEST_REASON));
        JS_FreeCString(context, name);
        JS_FreeCString(context, message);
        JS_FreeCString(context, trace);
    } else {
        size_t len;
        const char *text = JS_ToCStringLen(context, &len, thrown);
        if (text == NULL) {
            JS_FreeValue(context, JS_GetException(context));
        }
        failed |= define(error, "type", JS_NewString(context, "Error"));
        failed |= define(error, "reason",
                         JS_NewStringLen(context, text ? text : "", !text ? 0 : len < LONGEST_REASON ? len : LONGEST_REASON));
        JS_FreeCString(context, text);
    }
    JS_FreeValue(context, thrown);
    if (line > 0) {
        failed |= define(error, "line", JS_NewInt32(context, line));
    }
    if (column > 0) {
        failed |= define(error, "column", JS_NewInt32(context, column));
    }
    if (failed) {
        JS_FreeValue(context, error);
        return JS_EXCEPTION;
    }
    return error;
}

/* Does what promises wait for, and gives what the value settles to; consumes it. */
static JSValue settled(JSValue value) {
    JSContext *at;
    int done;
    while ((done = JS_ExecutePendingJob(runtime, &at)) != 0) {
        if (interrupted) {
            JS_FreeValue(context, value);
            return JS_EXCEPTION;
        }
        if (done < 0) {
            JS_FreeValue(context, JS_GetException(context));
        }
    }
    if (JS_IsException(value) || !JS_IsPromise(value)) {
        return value;
    }
    JSPromiseStateEnum state = JS_PromiseState(context, value);
    JSValue result = JS_PromiseResult(context, value);
    JS_FreeValue(context, value);
    if (state == JS_PROMISE_FULFILLED) {
        return result;
    }
    if (state == JS_PROMISE_REJECTED) {
        return JS_Throw(context, result);
    }
    JS_FreeValue(context, result);
    return JS_ThrowTypeError(context, "the promise never settles: there are no timers and no network here");
}

/* The text that goes to the host: `answer`, which lives until the next call. Traps if there is no memory for it. */
static uint64_t answered(JSValueConst value) {
    JS_FreeCString(context, answer);
    JSValue json = JS_JSONStringify(context, value, JS_UNDEFINED, JS_UNDEFINED);
    if (JS_IsUndefined(json)) {
        /* Of a function or a symbol. */
        json = JS_NewString(context, "null");
    }
    size_t len = 0;
    const char *text = JS_IsException(json) ? NULL : JS_ToCStringLen(context, &len, json);
    JS_FreeValue(context, json);
    if (text == NULL) {
        __builtin_trap();
    }
    answer = text;
    return ((uint64_t)(uintptr_t)answer << 32) | len;
}

/* The value of an expression in the UDF's own scope, undefined if it has none. */
static JSValue evaluated(const char *name) {
    JSValue value = JS_Eval(context, name, strlen(name), "<name>", JS_EVAL_TYPE_GLOBAL);
    if (JS_IsException(value)) {
        JS_FreeValue(context, JS_GetException(context));
        return JS_UNDEFINED;
    }
    return value;
}

/* The function that is called for each document: an export of the module, or a function of the script. */
static JSValue entry(JSValueConst exports, const char *wanted) {
    const char *names[] = {"process", "udf_main", "default"};
    size_t count = wanted && *wanted ? 1 : 3;
    for (size_t i = 0; i < count; i++) {
        const char *name = count == 1 ? wanted : names[i];
        JSValue found = JS_UNDEFINED;
        if (!JS_IsUndefined(exports)) {
            found = JS_GetPropertyStr(context, exports, name);
        } else if (i < 2) {
            found = evaluated(name);
        }
        if (JS_IsFunction(context, found)) {
            return found;
        }
        JS_FreeValue(context, found);
    }
    if (count == 1) {
        return JS_ThrowReferenceError(context, "the code defines no function %s(doc, params)", wanted);
    }
    return JS_ThrowReferenceError(context, "the code defines no function process(doc, params) or udf_main(doc, params)");
}

/* Runs the code once; the namespace of a module, undefined for a script, or an exception. What is no script, for its
 * `export`, `import` or `await` at the top, is a module. */
static JSValue loaded(const char *source, size_t len) {
    JSValue script = JS_Eval(context, source, len, FILE_NAME, JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY);
    if (!JS_IsException(script)) {
        JSValue done = JS_EvalFunction(context, script);
        if (JS_IsException(done)) {
            return done;
        }
        JS_FreeValue(context, done);
        return settled(JS_UNDEFINED);
    }
    JSValue why = JS_GetException(context);
    JSValue module = JS_Eval(context, source, len, FILE_NAME, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (JS_IsException(module)) {
        if (strstr(source, "export") || strstr(source, "import")) {
            JS_FreeValue(context, why);
            return module;
        }
        JS_FreeValue(context, JS_GetException(context));
        return JS_Throw(context, why);
    }
    JS_FreeValue(context, why);
    JSModuleDef *definition = JS_VALUE_GET_PTR(module);
    JSValue done = settled(JS_EvalFunction(context, module));
    if (JS_IsException(done)) {
        return done;
    }
    JS_FreeValue(context, done);
    return JS_GetModuleNamespace(context, definition);
}

/* Statements over a document as the body of a function. */
static JSValue snippet(const char *source, size_t len, const char *name) {
    Text whole = {0};
    PUT(&whole, "(function process(");
    put(&whole, name, strlen(name));
    PUT(&whole, ", params, ctx) {");
    first_column = (int32_t)whole.len;
    put(&whole, source, len);
    PUT(&whole, "\nreturn ");
    put(&whole, name, strlen(name));
    PUT(&whole, "\n})");
    if (whole.text == NULL) {
        return JS_ThrowOutOfMemory(context);
    }
    JSValue made = JS_Eval(context, whole.text, whole.len, FILE_NAME, JS_EVAL_TYPE_GLOBAL);
    free(whole.text);
    return made;
}

/* Compiles the UDF of `config`, `{"source", "parameters", "entry", "inline", "seed"}`. */
static JSValue load(JSValueConst config) {
    JSValue given = JS_GetPropertyStr(context, config, "seed");
    int64_t number = 0;
    if (JS_IsNumber(given) && JS_ToInt64(context, &number, given) == 0) {
        seed = (uint64_t)number;
    } else {
        host_random(&seed, sizeof seed);
    }
    JS_FreeValue(context, given);
    parameters = JS_GetPropertyStr(context, config, "parameters");
    given = JS_GetPropertyStr(context, config, "source");
    size_t len;
    const char *source = JS_ToCStringLen(context, &len, given);
    JS_FreeValue(context, given);
    if (source == NULL) {
        return JS_EXCEPTION;
    }
    const char *name = text_member(config, "inline"), *wanted = text_member(config, "entry");
    JSValue found;
    if (name == NULL || wanted == NULL) {
        found = JS_ThrowOutOfMemory(context);
    } else if (*name) {
        found = snippet(source, len, name);
    } else {
        JSValue exports = loaded(source, len);
        found = JS_IsException(exports) ? JS_EXCEPTION : entry(exports, wanted);
        JS_FreeValue(context, exports);
    }
    JS_FreeCString(context, source);
    JS_FreeCString(context, name);
    JS_FreeCString(context, wanted);
    return found;
}

/* A function that names no argument may take them all by `...rest`. */
static int takes_context(void) { return arity >= 3 || arity == 0; }

EXPORT("load") uint64_t guest_load(const uint8_t *at, uint32_t len) {
    JS_FreeCString(context, answer);
    answer = NULL;
    JS_UpdateStackTop(runtime);
    JSValue config = json_value(context, at, len);
    function = JS_IsException(config) ? JS_EXCEPTION : load(config);
    JS_FreeValue(context, config);
    if (JS_IsException(function)) {
        function = JS_UNDEFINED;
        JSValue error = failure();
        if (JS_IsException(error)) {
            __builtin_trap();
        }
        uint64_t text = answered(error);
        JS_FreeValue(context, error);
        return text;
    }
    JSValue length = JS_GetPropertyStr(context, function, "length");
    if (JS_ToInt32(context, &arity, length) < 0) {
        JS_FreeValue(context, JS_GetException(context));
    }
    JS_FreeValue(context, length);
    return (uint64_t)takes_context();
}

/* One document through the UDF. */
static JSValue called(JSValueConst doc, JSValueConst ctx) {
    JSValueConst arguments[] = {doc, parameters, ctx};
    JSValue result = JS_Call(context, function, JS_UNDEFINED, JS_IsUndefined(ctx) ? 2 : 3, arguments);
    if (interrupted) {
        return result;
    }
    return JS_IsPromise(result) || JS_IsJobPending(runtime) ? settled(result) : result;
}

/* The text of a value; NULL with an exception, and an empty one of a function. To be freed with JS_FreeCString. */
static const char *json_of(JSValueConst value, size_t *len) {
    JSValue json = JS_JSONStringify(context, value, JS_UNDEFINED, JS_UNDEFINED);
    if (JS_IsException(json)) {
        return NULL;
    }
    if (JS_IsUndefined(json)) {
        json = JS_NewString(context, "");
    }
    const char *text = JS_ToCStringLen(context, len, json);
    JS_FreeValue(context, json);
    return text;
}

/* A text of `len` bytes behind its length; `at` goes behind it. */
static const uint8_t *text_at(const uint8_t **at, uint32_t *len) {
    memcpy(len, *at, 4);
    const uint8_t *text = *at + 4;
    *at = text + *len;
    return text;
}

/* Writes what the UDF makes of a document; -1 with an exception. */
static int answer_document(const uint8_t *text, uint32_t len, JSValueConst ctx) {
    JSValue doc = record_read(context, &record, text, len);
    if (JS_IsException(doc)) {
        return -1;
    }
    JSValue result = called(doc, ctx);
    JS_FreeValue(context, doc);
    int written = JS_IsException(result) || interrupted ? -1 : 0;
    size_t at = answers.len;
    if (written == 0 && !JS_IsUndefined(result) && !JS_IsNull(result)) {
        result_start(&answers);
        written = record_write(context, &record, result, &answers);
        result_end(&answers, at);
    }
    if (written == 0) {
        answer_back(&answers, at);
        answer_kind(&answers, NOTHING, "", 0);
    }
    JS_FreeValue(context, result);
    record_clear(context, &record);
    return written < 0 || interrupted ? -1 : 0;
}

/* The same of a document with its context, which is written behind the result. */
static int answer_with_context(const uint8_t *text, uint32_t len, const uint8_t *given, uint32_t size) {
    JSValue ctx = json_value(context, given, size);
    int failed = JS_IsException(ctx) || answer_document(text, len, ctx);
    size_t left_len = 0;
    const char *left = failed ? NULL : json_of(ctx, &left_len);
    JS_FreeValue(context, ctx);
    if (left == NULL) {
        return -1;
    }
    answer_number(&answers, (uint32_t)left_len);
    answer_put(&answers, left, left_len);
    JS_FreeCString(context, left);
    return 0;
}

/* The exception that is pending as JSON; of an interrupted call there may be none. NULL if there is no memory for it. To be
 * freed with JS_FreeCString. */
static const char *failure_text(size_t *len) {
    JSValue error = JS_HasException(context) ? failure() : JS_NewObject(context);
    const char *text = JS_IsException(error) ? NULL : json_of(error, len);
    JS_FreeValue(context, error);
    if (text == NULL) {
        JS_FreeValue(context, JS_GetException(context));
    }
    return text;
}

static int begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

/* Whether an error is one of memory: without memory for the error itself it has no message, or is null. */
static int is_memory(const char *error) {
    return error == NULL || begins(error, "{\"type\":\"InternalError\",\"reason\":\"out of memory\"") ||
           (refused && (begins(error, "{\"type\":\"InternalError\",\"reason\":\"\"") ||
                        begins(error, "{\"type\":\"Error\",\"reason\":\"null\"")));
}

/* Tells why a document has no result, where there is nothing of one; 0 for one that goes alone. `first`: it is the first. */
static int answer_failure(int first, int no_room) {
    size_t len = 0;
    const char *why = failure_text(&len);
    int memory = is_memory(why);
    /* What those before it hold is missing. */
    int alone = !first && !interrupted && (no_room || (answers.len > KEPT && memory));
    if (interrupted) {
        /* What promises still wait for would be done at the cost of the next document. */
        answer_stopped(&answers, JS_IsJobPending(runtime) ? SPENT : 0, why ? why : "{}", why ? len : 2);
    } else if (!alone && no_room) {
        answer_error(&answers, NO_ROOM, sizeof NO_ROOM - 1, takes_context());
    } else if (!alone) {
        int told = why && !(memory && strstr(why, "out of memory") == NULL);
        answer_error(&answers, told ? why : NO_MEMORY, told ? len : sizeof NO_MEMORY - 1, takes_context());
    }
    JS_FreeCString(context, why);
    /* What stands in itself would hold the memory for ever: the interpreter looks for it when objects are made, and not when
     * there is no memory for them. */
    refused |= memory || no_room;
    return !alone;
}

/* The answer of the document at `at`, with its context, and what is behind it; 0 for one that goes alone. */
static int answer_next(const uint8_t **at, int first) {
    uint32_t len, size = 0;
    const uint8_t *text = text_at(at, &len), *given = takes_context() ? text_at(at, &size) : NULL;
    size_t start = answers.len;
    refused = 0;
    int failed = !answer_room(&answers, SPARE) || (given ? answer_with_context(text, len, given, size)
                                                         : answer_document(text, len, JS_UNDEFINED));
    int no_room = answers.failed, done = 1;
    if (failed || no_room || interrupted) {
        answer_back(&answers, start);
        done = answer_failure(first, no_room);
    }
    if (refused && !interrupted) {
        JS_RunGC(runtime);
    }
    return done;
}

EXPORT("run") uint64_t guest_run(const uint8_t *at, uint32_t len) {
    const uint8_t *end = at + len;
    uint32_t count = 0;
    interrupted = 0;
    JS_UpdateStackTop(runtime);
    answer_start(&answers);
    while (at < end && !interrupted) {
        int full = (count > 0 && answers_are_long(&answers)) || !answer_next(&at, count == 0);
        if (full) {
            answer_patch(&answers, 4, FULL);
            break;
        }
        count += !interrupted;
    }
    answer_patch(&answers, 0, count);
    return ((uint64_t)(uintptr_t)answers.bytes << 32) | answers.len;
}
