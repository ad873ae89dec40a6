/* The memory of both guests, for `malloc`: what is free next to each other becomes one block again.
 *
 * A sandbox lives on when its memory was full. The allocator of Zig's C library keeps what was freed for blocks of the same power
 * of two, so that a sandbox which was once full of small objects has no room for large ones ever after.
 *
 * Blocks are held by their size in lists, sixteen for each power of two, with bits for those that are not empty (Masmano and
 * others: TLSF: a new dynamic memory allocator for real-time systems, 2004). One part of the guest includes this file. */
#ifndef MEMORY_H
#define MEMORY_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct Block {
    /* Bytes of the block before it in memory, 0 for the first one; its own, a multiple of 16, and whether it is free. */
    uint32_t before, size;
    /* Of a free one, its neighbours in their list; else what is kept in it. */
    struct Block *next, *last;
} Block;

/* Bytes before what is kept in a block, which stands at a multiple of 16. */
#define HEAD 8
#define FREE 1u
/* Sizes from 256 bytes on have a level for each power of two; those below are the first level. */
#define LEVELS 25
#define STEPS 16
#define WASM_PAGE 65536u
#define LARGEST_BLOCK 0x7fff0000u

static uint32_t block_levels, block_steps[LEVELS];
static Block *block_lists[LEVELS][STEPS];
/* Behind the last block: one without bytes. */
static Block *block_end;

static inline uint32_t block_size(const Block *block) { return block->size & ~15u; }

static inline Block *block_behind(const Block *block) { return (Block *)((uint8_t *)block + block_size(block)); }

static inline void *block_content(Block *block) { return (uint8_t *)block + HEAD; }

static inline Block *block_of(const void *content) { return (Block *)((uint8_t *)content - HEAD); }

/* Bytes of a block for so many of content; 0 for too many. */
static inline uint32_t block_needed(size_t content) {
    return content > LARGEST_BLOCK ? 0 : ((uint32_t)content + HEAD + 15) & ~15u;
}

/* The list of blocks of a size. */
static inline void block_place(uint32_t size, uint32_t *level, uint32_t *step) {
    uint32_t log = 31 - (uint32_t)__builtin_clz(size);
    *level = size < 256 ? 0 : log - 7;
    *step = size < 256 ? size / 16 : size >> (log - 4) & 15;
}

static inline void block_insert(Block *block) {
    uint32_t level, step;
    block_place(block_size(block), &level, &step);
    Block *first = block_lists[level][step];
    block->last = NULL;
    block->next = first;
    if (first != NULL) {
        first->last = block;
    }
    block_lists[level][step] = block;
    block_steps[level] |= 1u << step;
    block_levels |= 1u << level;
}

static inline void block_remove(Block *block) {
    if (block->next != NULL) {
        block->next->last = block->last;
    }
    if (block->last != NULL) {
        block->last->next = block->next;
        return;
    }
    uint32_t level, step;
    block_place(block_size(block), &level, &step);
    block_lists[level][step] = block->next;
    if (block->next == NULL && (block_steps[level] &= ~(1u << step)) == 0) {
        block_levels &= ~(1u << level);
    }
}

/* Frees a block, with those beside it that are free. */
static inline Block *block_give(Block *block) {
    uint32_t size = block_size(block);
    Block *behind = block_behind(block), *before = (Block *)((uint8_t *)block - block->before);
    if (behind->size & FREE) {
        block_remove(behind);
        size += block_size(behind);
    }
    if (before != block && before->size & FREE) {
        block_remove(before);
        size += block_size(before);
        block = before;
    }
    block->size = size | FREE;
    block_behind(block)->before = size;
    block_insert(block);
    return block;
}

/* Makes a block that is in no list one of so many bytes in use; the rest is free. */
static inline void *block_cut(Block *block, uint32_t size) {
    uint32_t rest = block_size(block) - size;
    block->size = size;
    Block *behind = block_behind(block);
    if (rest > 0) {
        behind->before = size;
        behind->size = rest;
        block_give(behind);
    } else {
        behind->before = size;
    }
    return block_content(block);
}

/* A free block of the lists in which all have so many bytes; NULL for none. */
static inline Block *block_find(uint32_t size) {
    uint32_t level, step;
    block_place(size < 256 ? size : size + (1u << (27 - __builtin_clz(size))) - 1, &level, &step);
    uint32_t steps = block_steps[level] & ~0u << step;
    if (steps == 0) {
        uint32_t levels = block_levels & ~1u << level;
        if (levels == 0) {
            return NULL;
        }
        level = (uint32_t)__builtin_ctz(levels);
        steps = block_steps[level];
    }
    return block_lists[level][__builtin_ctz(steps)];
}

/* One of the list in which some have: it is asked for when there is no more memory. */
static Block *block_fitting(uint32_t size) {
    uint32_t level, step;
    block_place(size, &level, &step);
    Block *block = block_lists[level][step];
    while (block != NULL && block_size(block) < size) {
        block = block->next;
    }
    return block;
}

/* A free block of new memory, with what is free before that; NULL if there is none. */
static __attribute__((noinline)) Block *block_more(uint32_t size) {
    uint8_t *memory_end = (uint8_t *)(__builtin_wasm_memory_size(0) * WASM_PAGE);
    int joined = block_end != NULL && (uint8_t *)block_end + HEAD == memory_end;
    Block *before = joined ? (Block *)((uint8_t *)block_end - block_end->before) : NULL;
    uint32_t have = before && before->size & FREE ? block_size(before) : 0;
    uint32_t need = joined ? (size > have ? size - have : 16) : size + 2 * HEAD;
    uint32_t bytes = (need + WASM_PAGE - 1) / WASM_PAGE * WASM_PAGE;
    if (__builtin_wasm_memory_grow(0, bytes / WASM_PAGE) == (size_t)-1) {
        return NULL;
    }
    Block *block = joined ? block_end : (Block *)(memory_end + HEAD);
    if (!joined) {
        block->before = 0;
        bytes -= 2 * HEAD;
    }
    block->size = bytes;
    block_end = block_behind(block);
    block_end->size = 0;
    return block_give(block);
}

static inline void *block_take(size_t content) {
    uint32_t size = block_needed(content);
    if (size == 0) {
        return NULL;
    }
    Block *block = block_find(size);
    if (__builtin_expect(block == NULL, 0)) {
        block = block_more(size);
        block = block ? block : block_fitting(size);
    }
    if (block == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    block_remove(block);
    return block_cut(block, size);
}

/* Whether a block has become one of so many bytes, where it stands. */
static int block_stretch(Block *block, uint32_t size) {
    uint32_t have = block_size(block);
    Block *behind = block_behind(block);
    if (size <= have) {
        block_cut(block, size);
        return 1;
    }
    int free = behind->size & FREE;
    if ((free ? block_behind(behind) : behind) == block_end && (!free || have + block_size(behind) < size)) {
        block_more(size - have);
        behind = block_behind(block);
    }
    if (!(behind->size & FREE) || have + block_size(behind) < size) {
        return 0;
    }
    block_remove(behind);
    block->size = have + block_size(behind);
    block_cut(block, size);
    return 1;
}

void *malloc(size_t size) { return block_take(size); }

void free(void *at) {
    if (at != NULL) {
        block_give(block_of(at));
    }
}

void *calloc(size_t count, size_t size) {
    size_t bytes;
    void *found = __builtin_mul_overflow(count, size, &bytes) ? NULL : block_take(bytes);
    if (found != NULL) {
        memset(found, 0, bytes);
    }
    return found;
}

void *realloc(void *at, size_t size) {
    if (at == NULL) {
        return block_take(size);
    }
    Block *block = block_of(at);
    if (size == 0) {
        block_give(block);
        return NULL;
    }
    uint32_t needed = block_needed(size);
    if (needed != 0 && block_stretch(block, needed)) {
        return at;
    }
    void *found = block_take(size);
    if (found != NULL) {
        memcpy(found, at, block_size(block) - HEAD);
        block_give(block);
    }
    return found;
}

void *reallocarray(void *at, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(at, bytes);
}

size_t malloc_usable_size(void *at) { return at ? block_size(block_of(at)) - HEAD : 0; }

/* Nothing in the guests wants more than the 16 bytes that all have. */
void *aligned_alloc(size_t alignment, size_t size) { return alignment <= 16 ? block_take(size) : NULL; }

int posix_memalign(void **to, size_t alignment, size_t size) {
    *to = aligned_alloc(alignment, size);
    return *to ? 0 : ENOMEM;
}

/* Rarely used; but what those of the C library gave could not be freed here. */
void *memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }

void *valloc(size_t size) { return aligned_alloc(WASM_PAGE, size); }

#endif
