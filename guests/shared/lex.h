/* Strings and numbers of JSON texts, for the readers of both guests. */
#ifndef LEX_H
#define LEX_H

#include <stdint.h>
#include <string.h>
#include <wasm_simd128.h>

#include "atof.h"

/* What a string has beside plain ASCII. */
enum { ESCAPES = 1, WIDE = 2 };

static inline const uint8_t *skip_space(const uint8_t *at, const uint8_t *end) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    return at;
}

/* The closing quote of a string whose content begins at `at`; NULL if there is none or a control character before it. */
static inline const uint8_t *string_end(const uint8_t *at, const uint8_t *end, int *seen) {
    uint32_t wide = 0;
    while (end - at >= 16) {
        v128_t v = wasm_v128_load(at);
        v128_t special = wasm_v128_or(wasm_v128_or(wasm_i8x16_eq(v, wasm_i8x16_splat('"')), wasm_i8x16_eq(v, wasm_i8x16_splat('\\'))),
                                      wasm_u8x16_lt(v, wasm_u8x16_splat(0x20)));
        uint32_t stop = wasm_i8x16_bitmask(special), high = wasm_i8x16_bitmask(v);
        if (stop == 0) {
            wide |= high;
            at += 16;
            continue;
        }
        uint32_t n = (uint32_t)__builtin_ctz(stop);
        wide |= high & ((1u << n) - 1);
        at += n;
        if (*at == '"') {
            *seen |= wide ? WIDE : 0;
            return at;
        }
        if (*at != '\\') {
            return NULL;
        }
        *seen |= ESCAPES;
        at += 2;
    }
    for (; at < end; at++) {
        if (*at == '"') {
            *seen |= wide ? WIDE : 0;
            return at;
        }
        if (*at == '\\') {
            *seen |= ESCAPES;
            at++;
        } else if (*at < 0x20) {
            return NULL;
        } else {
            wide |= *at & 0x80;
        }
    }
    return NULL;
}

/* No fewer values than a text has: one for each bracket that opens and for each comma outside of strings, and one more. */
static inline size_t most_values(const uint8_t *at, const uint8_t *end) {
    size_t count = 1;
    int seen = 0;
    while (at < end) {
        if (end - at >= 16) {
            v128_t v = wasm_v128_load(at);
            v128_t opens = wasm_i8x16_eq(wasm_v128_or(v, wasm_i8x16_splat(0x20)), wasm_i8x16_splat('{'));
            uint32_t parts = wasm_i8x16_bitmask(wasm_v128_or(opens, wasm_i8x16_eq(v, wasm_i8x16_splat(','))));
            uint32_t quotes = wasm_i8x16_bitmask(wasm_i8x16_eq(v, wasm_i8x16_splat('"')));
            uint32_t n = quotes ? (uint32_t)__builtin_ctz(quotes) : 16;
            count += (size_t)__builtin_popcount(parts & ((1u << n) - 1));
            at += n;
            if (!quotes) {
                continue;
            }
        }
        if (*at == '"') {
            const uint8_t *close = string_end(at + 1, end, &seen);
            if (close == NULL) {
                return count;
            }
            at = close;
        }
        count += *at == ',' || (*at | 0x20) == '{';
        at++;
    }
    return count;
}

/* Of a key's bytes, for the table of those seen lately. */
static inline uint32_t key_hash(const uint8_t *at, const uint8_t *end) {
    uint32_t hash = (uint32_t)(end - at) * 0x9e3779b1u, word;
    for (; end - at >= 4; at += 4) {
        memcpy(&word, at, 4);
        hash = (hash ^ word) * 0x85ebca6bu;
        hash ^= hash >> 15;
    }
    for (; at < end; at++) {
        hash = (hash ^ *at) * 0x85ebca6bu;
    }
    return hash ^ hash >> 13;
}

/* Hexadecimal digits, with a bit that others do not have. */
static const uint8_t hex_digits[256] = {
    ['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14, ['5'] = 0x15, ['6'] = 0x16, ['7'] = 0x17,
    ['8'] = 0x18, ['9'] = 0x19, ['a'] = 0x1a, ['b'] = 0x1b, ['c'] = 0x1c, ['d'] = 0x1d, ['e'] = 0x1e, ['f'] = 0x1f,
    ['A'] = 0x1a, ['B'] = 0x1b, ['C'] = 0x1c, ['D'] = 0x1d, ['E'] = 0x1e, ['F'] = 0x1f};

/* Four hexadecimal digits; -1 if one of them is none. */
static inline int32_t hex4(const uint8_t *at) {
    int32_t a = hex_digits[at[0]], b = hex_digits[at[1]], c = hex_digits[at[2]], d = hex_digits[at[3]];
    return a & b & c & d & 0x10 ? (a & 15) << 12 | (b & 15) << 8 | (c & 15) << 4 | (d & 15) : -1;
}

/* The character of an escape behind its backslash; -1 for none, and for half a pair. */
static inline int32_t escaped(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    uint8_t c = *p++;
    int32_t found = c == '"' || c == '\\' || c == '/' ? c : c == 'b' ? 8 : c == 'f' ? 12 : c == 'n' ? 10 : c == 'r' ? 13 : c == 't' ? 9 : -1;
    if (c == 'u' && end - p >= 4) {
        found = hex4(p);
        p += 4;
        if (found >= 0xd800 && found < 0xe000) {
            int32_t low = found < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2) : -1;
            found = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((found - 0xd800) << 10) + (low - 0xdc00) : -1;
            p += 6;
        }
    }
    *at = p;
    return found;
}

/* A character of more than one byte of UTF-8; -1 for one that is not well-formed. */
static inline int32_t wide_char(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    uint8_t c = *p++;
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    if (c < 0xc2 || c > 0xf4 || end - p < more) {
        return -1;
    }
    int32_t found = c & (0x3f >> more);
    for (int i = 0; i < more; i++, p++) {
        if ((*p & 0xc0) != 0x80) {
            return -1;
        }
        found = found << 6 | (*p & 0x3f);
    }
    static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
    *at = p;
    return found < least[more] || found > 0x10ffff || (found >= 0xd800 && found < 0xe000) ? -1 : found;
}

/* The same without a branch, as strings have them in any order; there are four bytes to read at `*at`. */
static inline int32_t wide_char_at(const uint8_t **at) {
    static const uint8_t lengths[32] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                        0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 3, 3, 4, 0};
    static const uint8_t lead[] = {0, 0, 0x1f, 0x0f, 0x07}, left_out[] = {0, 0, 12, 6, 0};
    /* Bits that say of the second, third and fourth byte that they have the form of such bytes. */
    static const uint32_t forms[] = {0, 0, 0xc000, 0xc0c000, 0xc0c0c000};
    static const int32_t least[] = {0x7fffffff, 0x7fffffff, 0x80, 0x800, 0x10000};
    uint32_t bytes;
    memcpy(&bytes, *at, 4);
    uint32_t length = lengths[(bytes & 0xff) >> 3];
    int32_t found = (int32_t)(((bytes & lead[length]) << 18 | (bytes >> 8 & 0x3f) << 12 | (bytes >> 16 & 0x3f) << 6 |
                               (bytes >> 24 & 0x3f)) >> left_out[length]);
    int bad = ((bytes & forms[length]) != (forms[length] & 0x80808000)) | (found < least[length]) | (found > 0x10ffff) |
              ((found & 0x7ffff800) == 0xd800);
    *at += length;
    return bad ? -1 : found;
}

/* The character of an escape of two bytes, by the second; 0 for none. */
static const uint8_t short_escapes[256] = {
    ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = 8, ['f'] = 12, ['n'] = 10, ['r'] = 13, ['t'] = 9};

/* Bytes that are widened at once: so many characters more than asked for `string_chars` may write. */
#define LANES 16

/* Widens LANES bytes at `at`, those up to an escape or a character beyond ASCII; how many those are. */
static inline size_t widen_ascii(const uint8_t *at, uint32_t *to) {
    v128_t v = wasm_v128_load(at), low = wasm_u16x8_extend_low_u8x16(v), high = wasm_u16x8_extend_high_u8x16(v);
    wasm_v128_store(to, wasm_u32x4_extend_low_u16x8(low));
    wasm_v128_store(to + 4, wasm_u32x4_extend_high_u16x8(low));
    wasm_v128_store(to + 8, wasm_u32x4_extend_low_u16x8(high));
    wasm_v128_store(to + 12, wasm_u32x4_extend_high_u16x8(high));
    uint32_t stop = wasm_i8x16_bitmask(wasm_v128_or(v, wasm_i8x16_eq(v, wasm_i8x16_splat('\\'))));
    return stop ? (size_t)__builtin_ctz(stop) : LANES;
}

/* The next characters of a string into `out`, at most `room` of them and LANES more: how many, or -1; `at` goes behind them.
 * `bits` gets all bits that those beyond ASCII and escapes have. Up to `limit`, behind `end`, there is text to read. */
static inline int64_t string_chars(const uint8_t **at, const uint8_t *end, const uint8_t *limit, uint32_t *out, size_t room,
                                   uint32_t *bits) {
    const uint8_t *p = *at;
    uint32_t *to = out, *full = out + room, all = *bits;
    while (p < end && to < full) {
        if (limit - p >= LANES) {
            size_t n = widen_ascii(p, to), left = (size_t)(end - p);
            n = n < left ? n : left;
            p += n;
            to += n;
            if (n == LANES || p == end) {
                continue;
            }
        }
        uint8_t c = *p;
        int32_t found = c;
        if (end - p >= 4) {
            /* Both ways without a branch: which of them it is cannot be foreseen. */
            const uint8_t *behind = p;
            int32_t wide = wide_char_at(&behind), escape = short_escapes[p[1]];
            found = c == '\\' ? escape : wide;
            if (found > 0) {
                p = c == '\\' ? p + 2 : behind;
                all |= (uint32_t)found;
                *to++ = (uint32_t)found;
                continue;
            }
            found = c;
        }
        if (c == '\\') {
            p++;
            found = p < end ? escaped(&p, end) : -1;
        } else if (c >= 0x80) {
            found = wide_char(&p, end);
        } else {
            p++;
        }
        if (found < 0) {
            return -1;
        }
        all |= (uint32_t)found;
        *to++ = (uint32_t)found;
    }
    *at = p;
    *bits = all;
    return to - out;
}

/* A character beyond ASCII as UTF-8, which is not half a pair of surrogates. */
static inline uint8_t *put_char(uint8_t *out, uint32_t c) {
    if (c < 0x800) {
        *out++ = (uint8_t)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *out++ = (uint8_t)(0xe0 | c >> 12);
        } else {
            *out++ = (uint8_t)(0xf0 | c >> 18);
            *out++ = (uint8_t)(0x80 | (c >> 12 & 63));
        }
        *out++ = (uint8_t)(0x80 | (c >> 6 & 63));
    }
    *out++ = (uint8_t)(0x80 | (c & 63));
    return out;
}

/* Kinds of numbers: none; whole, in `whole`; a fraction, in `real`; one that needs more digits than 19 or is out of range. */
enum { NO_NUMBER, WHOLE, REAL, LONG_WHOLE, LONG_REAL };

typedef struct {
    int64_t whole;
    double real;
    int negative;
} Number;

#define ZEROS UINT64_C(0x3030303030303030)

/* Of eight bytes those that are no digits, and what eight digits count: Lemire's way (fast_float,
 * `is_made_of_eight_digits_fast`). Of the first of them the lowest bits that are set are right: a carry goes to those behind. */
static inline uint64_t not_digits(uint64_t v) {
    return ((v & 0xf0f0f0f0f0f0f0f0) ^ ZEROS) | (((v + 0x0606060606060606) & 0xf0f0f0f0f0f0f0f0) ^ ZEROS);
}

static inline uint32_t eight_value(uint64_t v) {
    v -= 0x3030303030303030;
    v = v * 10 + (v >> 8);
    return (uint32_t)(((v & 0x000000ff000000ff) * 0x000f424000000064 + (v >> 16 & 0x000000ff000000ff) * 0x0000271000000001) >> 32);
}

/* Adds the digits at `at` to a number; gives where they end. Fewer than eight count as eight with zeros before them. */
static inline const uint8_t *digits(const uint8_t *at, const uint8_t *end, uint64_t *mantissa) {
    static const uint32_t powers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
    uint64_t m = *mantissa, v;
    for (; end - at >= 8; at += 8) {
        memcpy(&v, at, 8);
        uint64_t others = not_digits(v);
        if (others != 0) {
            uint32_t count = (uint32_t)__builtin_ctzll(others) / 8;
            if (count > 0) {
                v = v << (64 - 8 * count) | ZEROS >> (8 * count);
                *mantissa = m * powers[count] + eight_value(v);
            } else {
                *mantissa = m;
            }
            return at + count;
        }
        m = m * 100000000 + eight_value(v);
    }
    while (at < end && (uint8_t)(*at - '0') < 10) {
        m = m * 10 + (uint8_t)(*at++ - '0');
    }
    *mantissa = m;
    return at;
}

/* Whether two keys of the same length are the same; most are short. */
static inline int same_bytes(const uint8_t *left, const uint8_t *right, size_t len) {
    uint64_t a, b;
    for (; len >= 8; len -= 8, left += 8, right += 8) {
        memcpy(&a, left, 8);
        memcpy(&b, right, 8);
        if (a != b) {
            return 0;
        }
    }
    while (len > 0 && *left == *right) {
        len--, left++, right++;
    }
    return len == 0;
}

/* `m` times ten to the power of `exponent`; 0 where that wants another way. */
static inline int real_of(uint64_t m, int64_t exponent, int negative, double *real) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    double found;
    if (m < (UINT64_C(1) << 53) && exponent >= -22 && exponent <= 22) {
        found = exponent < 0 ? (double)m / powers[-exponent] : (double)m * powers[exponent];
    } else if (m == 0) {
        found = 0;
    } else {
        int64_t bits = exponent >= -307 && exponent <= 288 ? eisel_lemire(m, (int32_t)exponent) : -1;
        if (bits < 0) {
            return 0;
        }
        memcpy(&found, &bits, 8);
    }
    *real = negative ? -found : found;
    return 1;
}

/* The number at `*at`, which goes behind it. */
static inline int number(const uint8_t **at, const uint8_t *end, Number *to) {
    const uint8_t *p = *at;
    to->negative = *p == '-';
    p += to->negative;
    const uint8_t *first = p, *stop;
    uint64_t m = 0;
    p = digits(p, end, &m);
    if (p == first || (*first == '0' && p > first + 1)) {
        return NO_NUMBER;
    }
    int64_t count = p - first, exponent = 0;
    int whole = 1;
    if (p < end && *p == '.') {
        whole = 0;
        stop = ++p;
        p = digits(p, end, &m);
        if (p == stop) {
            return NO_NUMBER;
        }
        exponent = stop - p;
        count += p - stop;
    }
    if (p < end && (*p | 0x20) == 'e') {
        whole = 0;
        p++;
        int down = p < end && *p == '-';
        p += p < end && (*p == '-' || *p == '+');
        uint64_t power = 0;
        stop = p;
        p = digits(p, end, &power);
        if (p == stop) {
            return NO_NUMBER;
        }
        power = p - stop > 6 ? 1000000 : power;
        exponent += down ? -(int64_t)power : (int64_t)power;
    }
    *at = p;
    if (whole) {
        to->whole = to->negative ? -(int64_t)m : (int64_t)m;
        return count <= 18 ? WHOLE : LONG_WHOLE;
    }
    return count <= 19 && real_of(m, exponent, to->negative, &to->real) ? REAL : LONG_REAL;
}

#endif
