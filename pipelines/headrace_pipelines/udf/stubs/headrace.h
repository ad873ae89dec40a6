/* Headrace UDFs in freestanding C. Two ABIs (docs/reference/udf-abi.md); include this and write one function.
 *
 * Field ABI:  HEADRACE_EXPORT("filter") int filter(long long ctx) { ... }        keep (1) or drop (0) a document
 * JSON ABI:   HEADRACE_EXPORT("process") long long process(char *doc, int len)   return answer(text, len), or 0 = unchanged
 *             HEADRACE_EXPORT("process_batch"): optional, the same for many documents, each behind its length
 */
#ifndef HEADRACE_H
#define HEADRACE_H

#define HEADRACE_EXPORT(name) __attribute__((export_name(name)))
#define HEADRACE_IMPORT(name) __attribute__((import_module("env"), import_name(name)))

typedef long long i64;

/* Fields: 1 = there (and written), 0 = absent. Strings: *len is the capacity on entry, the length on exit. */
HEADRACE_IMPORT("has_field") int has_field(i64 ctx, const char *path, int path_len);
HEADRACE_IMPORT("get_field_string") int get_field_string(i64 ctx, const char *path, int path_len, char *out, int *len);
HEADRACE_IMPORT("get_field_i64") int get_field_i64(i64 ctx, const char *path, int path_len, i64 *out);
HEADRACE_IMPORT("get_field_f64") int get_field_f64(i64 ctx, const char *path, int path_len, double *out);
HEADRACE_IMPORT("get_field_bool") int get_field_bool(i64 ctx, const char *path, int path_len, int *out);
HEADRACE_IMPORT("set_field_string") int set_field_string(i64 ctx, const char *path, int path_len, const char *s, int len);
HEADRACE_IMPORT("set_field_i64") int set_field_i64(i64 ctx, const char *path, int path_len, i64 value);
HEADRACE_IMPORT("set_field_f64") int set_field_f64(i64 ctx, const char *path, int path_len, double value);
HEADRACE_IMPORT("remove_field") int remove_field(i64 ctx, const char *path, int path_len);

/* Parameters: 0 = ok, 1 = absent, 2 = wrong type, 3 = buffer too small. */
HEADRACE_IMPORT("get_param_string") int get_param_string(const char *name, int name_len, char *out, int *len);
HEADRACE_IMPORT("get_param_i64") int get_param_i64(const char *name, int name_len, i64 *out);
HEADRACE_IMPORT("get_param_f64") int get_param_f64(const char *name, int name_len, double *out);
HEADRACE_IMPORT("get_param_bool") int get_param_bool(const char *name, int name_len, int *out);

/* 1 = debug, 2 = info, 3 = warning, 4 = error. */
HEADRACE_IMPORT("log") void headrace_log(int level, const char *text, int len);

#ifdef HEADRACE_JSON
extern unsigned char __heap_base;
static unsigned long heap_end;

/* Memory that is never freed: Headrace asks once for the document's buffer and again only for a larger document. */
HEADRACE_EXPORT("alloc") void *alloc(int len) {
    if (heap_end == 0) heap_end = (unsigned long)&__heap_base;
    unsigned long start = (heap_end + 15) & ~15ul;
    unsigned long end = start + (unsigned long)len;
    unsigned long have = __builtin_wasm_memory_size(0) << 16;
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535) >> 16) == (unsigned long)-1)
        __builtin_trap();
    heap_end = end;
    return (void *)start;
}

static inline i64 answer(const void *text, int len) { return ((i64)(unsigned long)text << 32) | (unsigned int)len; }

/* Texts of process_batch: four bytes of length, lowest first and anywhere in memory, then the text. */
enum { PREFIX = 4 };
static inline int text_length(const char *at) {
    int len;
    __builtin_memcpy(&len, at, PREFIX);
    return len;
}
static inline void put_length(char *at, int len) { __builtin_memcpy(at, &len, PREFIX); }
#endif
#endif
