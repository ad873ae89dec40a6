/* The JavaScript guest: QuickJS as a WebAssembly reactor that runs UDFs for the engine (wasm-runtime/src/udf/interpreter.rs).
 *
 * Exports as of the Python guest: alloc, dealloc; boot() starts the interpreter; load(config) compiles a UDF and answers an
 * error as text, else whether it takes contexts (0 or 1); run(documents) answers the results; interrupts() says how a call is ended softly. Configuration,
 * documents and results are JSON text. What a UDF changes of the language's own objects harms nobody but itself: this file
 * parses and writes JSON by the interpreter's C functions, and looks nothing up by name once a UDF is loaded.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "quickjs.h"

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

/* One more byte: the parser of JSON wants a zero behind the text. */
EXPORT("alloc") void *guest_alloc(uint32_t len) { return len < UINT32_MAX ? malloc((size_t)len + 1) : NULL; }

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

/* An element of a list, whatever a UDF has made of the prototypes. */
static void set_at(JSValueConst list, uint32_t at, JSValue value) {
    if (JS_DefinePropertyValueUint32(context, list, at, value, JS_PROP_C_W_E) < 0) {
        __builtin_trap();
    }
}

EXPORT("boot") void guest_boot(void) {
    runtime = JS_NewRuntime();
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
    function = parameters = JS_UNDEFINED;
}

/* A member of an object that is a text; the empty text for any other. To be freed with JS_FreeCString. */
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

/* The exception that is pending, as `{"type", "reason", "line", "column"}`. */
static JSValue failure(void) {
    JSValue thrown = JS_GetException(context);
    JSValue error = JS_NewObject(context);
    if (JS_IsException(error)) {
        __builtin_trap();
    }
    int32_t line = 0, column = 0;
    if (JS_IsError(thrown)) {
        const char *name = text_member(thrown, "name"), *message = text_member(thrown, "message");
        const char *trace = text_member(thrown, "stack");
        place(trace, &line, &column);
        set_member(error, "type", JS_NewString(context, name && *name ? name : "Error"));
        size_t len = message ? strlen(message) : 0;
        set_member(error, "reason", JS_NewStringLen(context, message, len < LONGEST_REASON ? len : LONGEST_REASON));
        JS_FreeCString(context, name);
        JS_FreeCString(context, message);
        JS_FreeCString(context, trace);
    } else {
        size_t len;
        const char *text = JS_ToCStringLen(context, &len, thrown);
        if (text == NULL) {
            JS_FreeValue(context, JS_GetException(context));
        }
        set_member(error, "type", JS_NewString(context, "Error"));
        set_member(error, "reason",
                   JS_NewStringLen(context, text ? text : "", !text ? 0 : len < LONGEST_REASON ? len : LONGEST_REASON));
        JS_FreeCString(context, text);
    }
    JS_FreeValue(context, thrown);
    if (line > 0) {
        set_member(error, "line", JS_NewInt32(context, line));
    }
    if (column > 0) {
        set_member(error, "column", JS_NewInt32(context, column));
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

/* The text that goes to the host: `answer`, which lives until the next call. */
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
    if (*name) {
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

EXPORT("load") uint64_t guest_load(char *at, uint32_t len) {
    JS_FreeCString(context, answer);
    answer = NULL;
    JS_UpdateStackTop(runtime);
    at[len] = 0;
    JSValue config = JS_ParseJSON(context, at, len, "<config>");
    function = JS_IsException(config) ? JS_EXCEPTION : load(config);
    JS_FreeValue(context, config);
    if (JS_IsException(function)) {
        function = JS_UNDEFINED;
        JSValue error = failure();
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

/* Values that JSON cannot hold are an error of their own document, and null. */
static void checked(JSValueConst list, JSValueConst errors) {
    int64_t len = 0;
    if (JS_IsObject(list)) {
        JS_GetLength(context, list, &len);
    }
    for (uint32_t i = 0; i < len; i++) {
        JSValue value = JS_GetPropertyUint32(context, list, i);
        JSValue text = JS_JSONStringify(context, value, JS_UNDEFINED, JS_UNDEFINED);
        JS_FreeValue(context, value);
        if (!JS_IsException(text)) {
            JS_FreeValue(context, text);
            continue;
        }
        set_at(errors, i, failure());
        set_at(list, i, JS_NULL);
    }
}

/* What is answered of documents: `[[results], {position: error}, [contexts] or null]`, and of an interrupted call as a
 * fourth part where the UDF was, and whether this interpreter is spent. */
static uint64_t told(JSValueConst results, JSValueConst errors, JSValueConst contexts, JSValue stopped) {
    JSValue whole = JS_NewArray(context);
    set_at(whole, 0, JS_DupValue(context, results));
    set_at(whole, 1, JS_DupValue(context, errors));
    set_at(whole, 2, JS_DupValue(context, contexts));
    if (!JS_IsUndefined(stopped)) {
        set_at(whole, 3, stopped);
    }
    uint64_t text = answered(whole);
    if (text == 0) {
        JS_FreeValue(context, JS_GetException(context));
        checked(results, errors);
        checked(contexts, errors);
        text = answered(whole);
    }
    JS_FreeValue(context, whole);
    if (text == 0) {
        __builtin_trap();
    }
    return text;
}

/* Where the UDF was interrupted; consumes the error, if there is one. */
static JSValue interruption(JSValue error) {
    JSValue stopped = JS_IsUndefined(error) ? JS_NewObject(context) : error;
    /* What promises still wait for would be done at the cost of the next document. */
    set_member(stopped, "spent", JS_NewBool(context, JS_IsJobPending(runtime)));
    return stopped;
}

static JSValue parsed(char *at, uint32_t len) {
    JS_FreeCString(context, answer);
    answer = NULL;
    interrupted = 0;
    JS_UpdateStackTop(runtime);
    at[len] = 0;
    return JS_ParseJSON(context, at, len, "<documents>");
}

/* `[[documents], [contexts] or null]` -> as `told` says it. */
EXPORT("run") uint64_t guest_run(char *at, uint32_t len) {
    JSValue given = parsed(at, len);
    if (JS_IsException(given)) {
        __builtin_trap();
    }
    JSValue documents = JS_GetPropertyUint32(context, given, 0), contexts = JS_GetPropertyUint32(context, given, 1);
    JSValue results = JS_NewArray(context), errors = JS_NewObject(context), stopped = JS_UNDEFINED;
    int64_t count = 0;
    JS_GetLength(context, documents, &count);
    for (uint32_t i = 0; i < count; i++) {
        JSValue doc = JS_GetPropertyUint32(context, documents, i);
        JSValue ctx = takes_context() ? JS_GetPropertyUint32(context, contexts, i) : JS_UNDEFINED;
        JSValue result = called(doc, ctx), error = JS_UNDEFINED;
        JS_FreeValue(context, doc);
        JS_FreeValue(context, ctx);
        if (JS_IsException(result)) {
            error = failure();
            result = JS_NULL;
        }
        if (interrupted) {
            JS_FreeValue(context, result);
            stopped = interruption(error);
            break;
        }
        if (!JS_IsUndefined(error)) {
            set_at(errors, i, error);
        }
        set_at(results, i, JS_IsUndefined(result) ? JS_NULL : result);
    }
    uint64_t text = told(results, errors, contexts, stopped);
    JS_FreeValue(context, documents);
    JS_FreeValue(context, given);
    JS_FreeValue(context, results);
    JS_FreeValue(context, errors);
    JS_FreeValue(context, contexts);
    return text;
}

/* Marks the length of an answer that is a result and nothing else (wasm-runtime/src/udf/interpreter.rs). */
#define BARE (UINT64_C(1) << 31)

/* One document of a UDF that takes no contexts: its result alone, else as `told` says it. */
EXPORT("one") uint64_t guest_one(char *at, uint32_t len) {
    JSValue doc = parsed(at, len);
    if (JS_IsException(doc)) {
        __builtin_trap();
    }
    JSValue result = called(doc, JS_UNDEFINED), error = JS_UNDEFINED, stopped = JS_UNDEFINED;
    JS_FreeValue(context, doc);
    if (!interrupted && !JS_IsException(result)) {
        uint64_t text = answered(JS_IsUndefined(result) ? JS_NULL : result);
        if (text != 0) {
            JS_FreeValue(context, result);
            return text | BARE;
        }
    }
    JS_FreeValue(context, result);
    if (JS_HasException(context)) {
        error = failure();
    }
    JSValue results = JS_NewArray(context), errors = JS_NewObject(context);
    if (interrupted) {
        stopped = interruption(error);
    } else {
        set_at(results, 0, JS_NULL);
        set_at(errors, 0, error);
    }
    uint64_t text = told(results, errors, JS_NULL, stopped);
    JS_FreeValue(context, results);
    JS_FreeValue(context, errors);
    return text;
}
