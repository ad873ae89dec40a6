/* JSON ABI: replaces the local part of every e-mail address in a document's strings by "***".
 * "ada@example.org" becomes "***@example.org"; the rest of the document keeps its bytes. */
#define HEADRACE_JSON
#include "headrace.h"

static char *out;
static int capacity;

/* Room for an answer; the answer of the last call is read by now. */
static void need(int len) {
    if (len > capacity) {
        capacity = len;
        out = alloc(capacity);
    }
}

static int is_local(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-' || c == '+' || c == '%';
}

static int is_host(char c) { return is_local(c) && c != '_' && c != '+' && c != '%'; }

/* Writes the new document, which is at most three times as long, to `to`; gives its length, 0 if it stays as it is. */
static int mask(const char *doc, int len, char *to) {
    int written = 0, changed = 0;
    for (int i = 0; i < len; i++) {
        if (doc[i] == '@' && i > 0 && is_local(doc[i - 1]) && i + 1 < len && is_host(doc[i + 1])) {
            while (written > 0 && is_local(to[written - 1])) written--;
            to[written++] = '*';
            to[written++] = '*';
            to[written++] = '*';
            changed = 1;
        }
        to[written++] = doc[i];
    }
    return changed ? written : 0;
}

HEADRACE_EXPORT("process") i64 process(char *doc, int len) {
    need(3 * len);
    int written = mask(doc, len, out);
    return written ? answer(out, written) : 0;
}

HEADRACE_EXPORT("process_batch") i64 process_batch(char *docs, int len) {
    need(3 * len);
    char *to = out;
    for (char *end = docs + len; docs < end; docs += PREFIX + text_length(docs)) {
        int written = mask(docs + PREFIX, text_length(docs), to + PREFIX);
        put_length(to, written);
        to += PREFIX + written;
    }
    return answer(out, (int)(to - out));
}
