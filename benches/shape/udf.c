/* The transform as a UDF of the JSON ABI. */
#define HEADRACE_JSON
#include "headrace.h"
#include "shape.h"

static char *out;
static int capacity;

HEADRACE_EXPORT("process") i64 process(char *doc, int len) {
    if (len + ADDED_LEN > capacity) {
        capacity = 2 * (len + ADDED_LEN);
        out = alloc(capacity);
    }
    int written = shape(doc, len, out);
    return written ? answer(out, written) : answer("false", 5);
}
