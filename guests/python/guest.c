/* The Python guest: CPython as a WebAssembly reactor that runs UDFs for the engine (wasm-runtime/src/udf/interpreter.rs).
 *
 * Exports: alloc, dealloc; boot() starts the interpreter; load(config) compiles a UDF and answers an error as text, else
 * whether it takes contexts (0 or 1); run(documents) answers the results. Configuration, documents and results are JSON text; see boot.py, which does the work.
 * The standard library is a stored zip in the data segment; nothing is read from a file system.
 */
#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE
#include <Python.h>
#include <internal/pycore_ceval.h>
#include <internal/pycore_object.h>
#include <stdint.h>
#include <stdlib.h>

#include "frozen_guest.h"

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

/* boot.py's functions, and the answer of the last call. */
static PyObject *load_function, *run_function, *one_function, *answer;

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
    if (boot != NULL) {
        load_function = PyObject_GetAttrString(boot, "load");
        run_function = PyObject_GetAttrString(boot, "run");
        one_function = PyObject_GetAttrString(boot, "one");
    }
    PyObject *interrupted = boot != NULL ? PyObject_GetAttrString(boot, "Interrupted") : NULL;
    if (interrupted != NULL) {
        PyThreadState *thread = PyThreadState_Get();
        _Py_SetImmortal(interrupted);
        interrupt.breaker = (uintptr_t)&thread->eval_breaker;
        interrupt.slot = (uintptr_t)&thread->async_exc;
        interrupt.exception = (uintptr_t)interrupted;
        interrupt.bit = _PY_ASYNC_EXCEPTION_BIT;
    }
    if (load_function == NULL || run_function == NULL || one_function == NULL || interrupted == NULL) {
        PyObject *type, *value, *trace;
        PyErr_Fetch(&type, &value, &trace);
        PyObject *text = value ? PyObject_Str(value) : NULL;
        const char *words = text ? PyUnicode_AsUTF8(text) : "boot.py cannot be imported";
        host_log(4, words, (int32_t)strlen(words));
        __builtin_trap();
    }
}

/* Calls a function of boot.py with bytes and keeps its answer. boot.py lets no exception out. */
static void call(PyObject *function, const char *at, uint32_t len) {
    Py_CLEAR(answer);
    PyObject *given = PyBytes_FromStringAndSize(at, len);
    if (given != NULL) {
        answer = PyObject_CallOneArg(function, given);
        Py_DECREF(given);
    }
    if (answer == NULL) {
        PyErr_Clear();
        __builtin_trap();
    }
}

static uint64_t text_of(PyObject *bytes) {
    return ((uint64_t)(uintptr_t)PyBytes_AS_STRING(bytes) << 32) | (uint64_t)PyBytes_GET_SIZE(bytes);
}

EXPORT("load") uint64_t guest_load(const char *at, uint32_t len) {
    call(load_function, at, len);
    return PyBytes_CheckExact(answer) ? text_of(answer) : answer == Py_True;
}

EXPORT("run") uint64_t guest_run(const char *at, uint32_t len) {
    call(run_function, at, len);
    return text_of(answer);
}

/* Marks the length of an answer that is a result and nothing else (wasm-runtime/src/udf/interpreter.rs). */
#define BARE (UINT64_C(1) << 31)

/* One document of a UDF that takes no contexts: its result alone, or, as a tuple, what run would answer. */
EXPORT("one") uint64_t guest_one(const char *at, uint32_t len) {
    call(one_function, at, len);
    if (PyTuple_CheckExact(answer) && PyTuple_GET_SIZE(answer) == 1) {
        return text_of(PyTuple_GET_ITEM(answer, 0));
    }
    return text_of(answer) | BARE;
}
