/* JSON ABI: replaces the local part of every e-mail address in a document's strings by "***".
 * "ada@example.org" becomes "***@example.org"; the rest of the document keeps its bytes. */
#define HEADRACE_JSON
#include "headrace.h"

static char *out;
static int capacity;

static int is_local(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-' || c == '+' || c == '%';
}

static int is_host(char c) { return is_local(c) && c != '_' && c != '+' && c != '%'; }

HEADRACE_EXPORT("process") i64 process(char *doc, int len) {
    int written = 0, changed = 0;
    if (3 * len > capacity) {
        capacity = 3 * len;
        out = alloc(capacity);
    }
    for (int i = 0; i < len; i++) {
        if (doc[i] == '@' && i > 0 && is_local(doc[i - 1]) && i + 1 < len && is_host(doc[i + 1])) {
            while (written > 0 && is_local(out[written - 1])) written--;
            out[written++] = '*';
            out[written++] = '*';
            out[written++] = '*';
            changed = 1;
        }
        out[written++] = doc[i];
    }
    return changed ? answer(out, written) : 0;
}
