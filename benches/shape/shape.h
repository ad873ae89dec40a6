/* The transform of the table for one document: dropped if its level is DEBUG, else the level in small letters and a
 * new member at the end. Compiled for Headrace (udf.c) and for Envoy (envoy.c). */
#ifndef SHAPE_H
#define SHAPE_H

static const char ADDED[] = ",\"env\":\"prod\"";
enum { ADDED_LEN = sizeof ADDED - 1 };

/* Index behind the string whose opening quote is at `i`. */
static int behind_string(const char *doc, int len, int i) {
    for (i++; i < len && doc[i] != '"'; i++)
        if (doc[i] == '\\') i++;
    return i + 1;
}

static int behind_space(const char *doc, int len, int i) {
    while (i < len && (doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\n' || doc[i] == '\r')) i++;
    return i;
}

static int same(const char *text, const char *word, int len) {
    for (int i = 0; i < len; i++)
        if (text[i] != word[i]) return 0;
    return 1;
}

/* Where the text of the outermost member `level` starts, and its length; 0 if there is none. */
static int find_level(const char *doc, int len, int *length) {
    int depth = 0;
    for (int i = 0; i < len;) {
        char c = doc[i];
        if (c == '"') {
            int end = behind_string(doc, len, i);
            int colon = behind_space(doc, len, end);
            if (depth == 1 && end - i == 7 && same(doc + i + 1, "level", 5) && colon < len && doc[colon] == ':') {
                int value = behind_space(doc, len, colon + 1);
                if (value >= len || doc[value] != '"') return 0;
                *length = behind_string(doc, len, value) - value - 2;
                return value + 1;
            }
            i = end;
            continue;
        }
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth--;
        i++;
    }
    return 0;
}

/* Writes the new document, which is at most ADDED_LEN longer, to `out`; gives its length, 0 if it is dropped. */
static int shape(const char *doc, int len, char *out) {
    int level_len = 0, level = find_level(doc, len, &level_len), end = len;
    if (level_len == 5 && same(doc + level, "DEBUG", 5)) return 0;
    while (end > 0 && doc[end - 1] != '}') end--;
    __builtin_memcpy(out, doc, (unsigned)end - 1);
    for (int i = level; i < level + level_len; i++)
        if (out[i] >= 'A' && out[i] <= 'Z') out[i] += 'a' - 'A';
    __builtin_memcpy(out + end - 1, ADDED, ADDED_LEN);
    out[end - 1 + ADDED_LEN] = '}';
    return end + ADDED_LEN;
}
#endif
