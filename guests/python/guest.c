/* The Python guest: CPython as a WebAssembly reactor that runs UDFs for the engine (wasm-runtime/src/udf/interpreter.rs).
 *
 * Exports: alloc, dealloc; boot() starts the interpreter; load(config) compiles a UDF and answers an error as text, else
 * whether it takes contexts (0 or 1); run(documents) answers the results (answer.h). See boot.py, which loads the code, and
 * record.h, how documents become objects and text again. The standard library is a stored zip in the data segment; nothing is read from a file system.
 */
#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE
#include <Python.h>
#include <internal/pycore_ceval.h>
#include <internal/pycore_object.h>
#include <stdint.h>
#include <stdlib.h>

#include "frozen_guest.h"
#include "memory.h"
#include "record.h"

#define EXPORT(name) __attribute__((export_name(name)))

__attribute__((import_module("env"), import_name("log"))) extern void host_log(int32_t level, const char *text, int32_t len);

/* stdlib.zip of the build folder, by the assembler: a C array of that size takes the compiler a minute. */
extern const unsigned char guest_stdlib[], guest_stdlib_end[];
__asm__(".section .rodata.guest_stdlib,\"\",@\n"
        ".globl guest_stdlib\n"
        ".type guest_stdlib,@object\n"
        "guest_stdlib:\n"
        ".incbin \"" STDLIB_ZIP "\"\n"
        ".globl guest_stdlib_end\n"
        ".type guest_stdlib_end,@object\n"
        "guest_stdlib_end:\n"
        ".int8 0\n"
        ".size guest_stdlib, guest_stdlib_end-guest_stdlib\n"
        ".size guest_stdlib_end, 1\n");

PyMODINIT_FUNC PyInit__core(void);

static PyObject *headrace_stdlib(PyObject *self, PyObject *unused) {
    return PyMemoryView_FromMemory((char *)guest_stdlib, guest_stdlib_end - guest_stdlib, PyBUF_READ);
}

static PyObject *headrace_log(PyObject *self, PyObject *args) {
    int level;
    const char *text;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "is#", &level, &text, &len)) {
        return NULL;
    }
    host_log(level, text, (int32_t)len);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"stdlib", headrace_stdlib, METH_NOARGS, "The standard library, as a stored zip."},
    {"log", headrace_log, METH_VARARGS, "log(level, text): a line in the UDF's log."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_headrace", NULL, -1, methods};

static PyObject *init_headrace(void) { return PyModule_Create(&module); }

/* boot.py's functions and classes, and the answer of the last call of `load`. */
PyObject *decode_function, *encode_function;
static PyObject *load_function, *failure_function, *flush_function, *interrupted, *answer, *no_memory;

/* The UDF: its function, the stage's parameters, how many arguments it takes. */
static PyObject *function, *parameters;
static int arity;
static Answer answers;
static Record record;

/* How the host interrupts a call from outside (wasm-runtime/src/engine/interrupt.rs). */
static struct {
    uintptr_t breaker, slot, exception, bit;
} interrupt;

EXPORT("interrupts") void *guest_interrupts(void) { return &interrupt; }

EXPORT("alloc") void *guest_alloc(uint32_t len) { return malloc(len ? len : 1); }

EXPORT("dealloc") void guest_dealloc(void *at, uint32_t len) { free(at); }

static void must(PyStatus status) {
    if (PyStatus_Exception(status)) {
        host_log(4, status.err_msg ? status.err_msg : "start failed", (int32_t)strlen(status.err_msg ? status.err_msg : ""));
        __builtin_trap();
    }
}

EXPORT("boot") void guest_boot(void) {
    PyImport_FrozenModules = frozen_guest;
    PyImport_AppendInittab("_headrace", init_headrace);
    PyImport_AppendInittab("msgspec._core", PyInit__core);
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    must(Py_PreInitialize(&before));
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.install_signal_handlers = 0;
    config.write_bytecode = 0;
    config.configure_c_stdio = 0;
    config.use_hash_seed = 1;
    config.hash_seed = 0;
    config.module_search_paths_set = 1;
    config.pathconfig_warnings = 0;
    must(PyConfig_SetString(&config, &config.program_name, L"headrace"));
    must(PyConfig_SetString(&config, &config.executable, L""));
    must(PyConfig_SetString(&config, &config.prefix, L""));
    must(PyConfig_SetString(&config, &config.exec_prefix, L""));
    must(PyConfig_SetString(&config, &config.base_prefix, L""));
    must(PyConfig_SetString(&config, &config.base_exec_prefix, L""));
    must(PyConfig_SetString(&config, &config.base_executable, L""));
    must(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
    PyObject *boot = PyImport_ImportModule("_headrace_boot");
    static const struct {
        const char *name;
        PyObject **to;
    } names[] = {{"load", &load_function},     {"failure", &failure_function}, {"flush", &flush_function},
                 {"decode", &decode_function}, {"encode", &encode_function},   {"Interrupted", &interrupted}};
    no_memory = PyBytes_FromStringAndSize(NO_MEMORY, sizeof NO_MEMORY - 1);
    int found = boot != NULL && no_memory != NULL;
    for (size_t i = 0; found && i < sizeof names / sizeof *names; i++) {
        *names[i].to = PyObject_GetAttrString(boot, names[i].name);
        found = *names[i].to != NULL;
    }
    if (interrupted != NULL) {
        PyThreadState *thread = PyThreadState_Get();
        _Py_SetImmortal(interrupted);
        interrupt.breaker = (uintptr_t)&thread->eval_breaker;
        interrupt.slot = (uintptr_t)&thread->async_exc;
        interrupt.exception = (uintptr_t)interrupted;
        interrupt.bit = _PY_ASYNC_EXCEPTION_BIT;
    }
    if (!found) {
        PyObject *type, *value, *trace;
        PyErr_Fetch(&type, &value, &trace);
        PyObject *text = value ? PyObject_Str(value) : NULL;
        const char *words = text ? PyUnicode_AsUTF8(text) : "boot.py cannot be imported";
        host_log(4, words, (int32_t)strlen(words));
        __builtin_trap();
    }
}

EXPORT("load") uint64_t guest_load(const char *at, uint32_t len) {
    Py_CLEAR(answer);
    PyObject *given = PyBytes_FromStringAndSize(at, len);
    answer = given ? PyObject_CallOneArg(load_function, given) : NULL;
    Py_XDECREF(given);
    if (answer == NULL) {
        __builtin_trap();
    }
    if (PyBytes_CheckExact(answer)) {
        return ((uint64_t)(uintptr_t)PyBytes_AS_STRING(answer) << 32) | (uint64_t)PyBytes_GET_SIZE(answer);
    }
    function = PyTuple_GET_ITEM(answer, 0);
    parameters = PyTuple_GET_ITEM(answer, 1);
    arity = (int)PyLong_AsLong(PyTuple_GET_ITEM(answer, 2));
    return arity == 3;
}

/* The exception that is pending as JSON; `stopped` is set when the call was interrupted, in the meantime, too. */
static PyObject *failure(int *stopped) {
    for (;;) {
        PyObject *error = PyErr_GetRaisedException();
        *stopped |= PyErr_GivenExceptionMatches(error, interrupted);
        PyObject *text = PyObject_CallOneArg(failure_function, error);
        Py_DECREF(error);
        if (text != NULL && PyBytes_CheckExact(text)) {
            return text;
        }
        if (text == NULL && PyErr_ExceptionMatches(PyExc_MemoryError)) {
            PyErr_Clear();
            return Py_NewRef(no_memory);
        }
        if (text != NULL || !PyErr_ExceptionMatches(interrupted)) {
            __builtin_trap();
        }
    }
}

/* A text of `len` bytes behind its length; `at` goes behind it. */
static const uint8_t *text_at(const uint8_t **at, uint32_t *len) {
    memcpy(len, *at, 4);
    const uint8_t *text = *at + 4;
    *at = text + *len;
    return text;
}

static PyObject *decoded(const uint8_t *text, uint32_t len) {
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)text, len);
    PyObject *object = bytes ? PyObject_CallOneArg(decode_function, bytes) : NULL;
    Py_XDECREF(bytes);
    return object;
}

/* Writes what the UDF makes of a document; -1 with an exception. `context` is NULL where it takes none. */
static int answer_document(const uint8_t *text, uint32_t len, PyObject *context) {
    PyObject *document = record_read(&record, text, len);
    if (document == NULL && !PyErr_Occurred()) {
        document = decoded(text, len);
    }
    if (document == NULL) {
        return -1;
    }
    PyObject *arguments[] = {document, parameters, context};
    PyObject *result = PyObject_Vectorcall(function, arguments, (size_t)arity, NULL);
    int failed = result == NULL;
    if (result == Py_None) {
        answer_kind(&answers, NOTHING, "", 0);
    } else if (!failed) {
        size_t at = result_start(&answers);
        failed = record_write(&record, result, &answers);
        result_end(&answers, at);
    }
    PyObject *error = failed ? PyErr_GetRaisedException() : NULL;
    Py_XDECREF(result);
    Py_DECREF(document);
    record_clear(&record);
    if (failed) {
        PyErr_SetRaisedException(error);
    }
    return failed ? -1 : 0;
}

/* The same of a document with its context, which is written behind the result. */
static int answer_with_context(const uint8_t *text, uint32_t len, const uint8_t *given, uint32_t size) {
    PyObject *context = decoded(given, size);
    int failed = context == NULL || answer_document(text, len, context);
    PyObject *left = failed ? NULL : PyObject_CallOneArg(encode_function, context);
    PyObject *error = left ? NULL : PyErr_GetRaisedException();
    Py_XDECREF(context);
    if (left == NULL) {
        PyErr_SetRaisedException(error);
        return -1;
    }
    answer_number(&answers, (uint32_t)PyBytes_GET_SIZE(left));
    answer_put(&answers, PyBytes_AS_STRING(left), (size_t)PyBytes_GET_SIZE(left));
    Py_DECREF(left);
    return 0;
}

/* Collects what stands in itself, which would hold the memory for ever: the interpreter looks for it when it has made many
 * objects, and not when there is no memory for one. */
static void collect(void) {
    int enabled = PyGC_Enable();
    PyGC_Collect();
    if (!enabled) {
        PyGC_Disable();
    }
    PyErr_Clear();
}

/* Tells why a document has no result, where there is nothing of one; 0 for one that goes alone. `first`: it is the first. */
static int answer_failure(int first, int no_room, int *stopped) {
    /* What those before it hold is missing. */
    if (!first && (no_room || (answers.len > KEPT && PyErr_ExceptionMatches(PyExc_MemoryError)))) {
        PyErr_Clear();
        return 0;
    }
    if (no_room) {
        PyErr_Clear();
        answer_error(&answers, NO_ROOM, sizeof NO_ROOM - 1, arity == 3);
        return 1;
    }
    PyObject *error = failure(stopped);
    if (*stopped) {
        answer_stopped(&answers, 0, PyBytes_AS_STRING(error), (size_t)PyBytes_GET_SIZE(error));
    } else {
        answer_error(&answers, PyBytes_AS_STRING(error), (size_t)PyBytes_GET_SIZE(error), arity == 3);
    }
    Py_DECREF(error);
    return 1;
}

/* The answer of the document at `at`, with its context, and what is behind it; 0 for one that goes alone. */
static int answer_next(const uint8_t **at, int first, int *stopped) {
    uint32_t len, size = 0;
    const uint8_t *text = text_at(at, &len), *given = arity == 3 ? text_at(at, &size) : NULL;
    size_t start = answers.len;
    int failed = !answer_room(&answers, SPARE) ||
                 (given ? answer_with_context(text, len, given, size) : answer_document(text, len, NULL));
    int no_room = answers.failed;
    if (!failed && !no_room) {
        return 1;
    }
    answer_back(&answers, start);
    int memory = no_room || PyErr_ExceptionMatches(PyExc_MemoryError), done = answer_failure(first, no_room, stopped);
    if (memory && !*stopped) {
        collect();
    }
    return done;
}

static void flush(void) {
    PyObject *done = PyObject_CallNoArgs(flush_function);
    Py_XDECREF(done);
    /* Interrupted, when all is done. */
    PyErr_Clear();
}

EXPORT("run") uint64_t guest_run(const uint8_t *at, uint32_t len) {
    const uint8_t *end = at + len;
    uint32_t count = 0;
    int stopped = 0;
    answer_start(&answers);
    while (at < end && !stopped) {
        int full = (count > 0 && answers_are_long(&answers)) || !answer_next(&at, count == 0, &stopped);
        if (full) {
            answer_patch(&answers, 4, FULL);
            break;
        }
        count += !stopped;
    }
    flush();
    answer_patch(&answers, 0, count);
    return ((uint64_t)(uintptr_t)answers.bytes << 32) | (uint64_t)answers.len;
}
