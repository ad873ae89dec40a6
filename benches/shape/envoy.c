/* The transform as a filter of Envoy (proxy-wasm ABI 0.2.1), over whole bodies of `_bulk`: pairs of lines. */
#define HEADRACE_JSON
#include "headrace.h"
#include "shape.h"

enum { CONTINUE = 0, PAUSE = 1, REQUEST_BODY = 0, REQUEST_HEADERS = 0 };

HEADRACE_IMPORT("proxy_get_buffer_bytes") int get_buffer(int type, int start, int length, char **data, int *size);
HEADRACE_IMPORT("proxy_set_buffer_bytes") int set_buffer(int type, int start, int length, const char *data, int size);
HEADRACE_IMPORT("proxy_replace_header_map_value")
int replace_header(int map, const char *key, int key_len, const char *value, int value_len);

HEADRACE_EXPORT("malloc") void *allocate(int len) { return alloc(len); }

HEADRACE_EXPORT("proxy_abi_version_0_2_1") void abi_version(void) {}
HEADRACE_EXPORT("proxy_on_context_create") void on_context_create(int context, int root) { (void)context, (void)root; }
HEADRACE_EXPORT("proxy_on_vm_start") int on_vm_start(int context, int size) { return (void)context, (void)size, 1; }
HEADRACE_EXPORT("proxy_on_configure") int on_configure(int context, int size) { return (void)context, (void)size, 1; }

/* The length is another one afterwards, so that the head waits for the body. */
HEADRACE_EXPORT("proxy_on_request_headers") int on_request_headers(int context, int count, int end) {
    return (void)context, (void)count, end ? CONTINUE : PAUSE;
}

static int line_end(const char *text, int len, int i) {
    while (i < len && text[i] != '\n') i++;
    return i;
}

HEADRACE_EXPORT("proxy_on_request_body") int on_request_body(int context, int size, int end) {
    (void)context;
    if (!end) return PAUSE;
    char *body = 0, digits[12];
    int len = 0, written = 0, at = sizeof digits;
    get_buffer(REQUEST_BODY, 0, size, &body, &len);
    char *out = alloc(2 * len + 64);
    for (int i = 0; i < len;) {
        int action = line_end(body, len, i) + 1, source = line_end(body, len, action);
        int made = shape(body + action, source - action, out + written + action - i);
        if (made) {
            __builtin_memcpy(out + written, body + i, (unsigned)(action - i));
            written += action - i + made;
            out[written++] = '\n';
        }
        i = source + 1;
    }
    set_buffer(REQUEST_BODY, 0, len, out, written);
    do digits[--at] = (char)('0' + written % 10);
    while (written /= 10);
    replace_header(REQUEST_HEADERS, "content-length", 14, digits + at, (int)sizeof digits - at);
    heap_end = 0; /* All memory is given back: the body is done. */
    return CONTINUE;
}
