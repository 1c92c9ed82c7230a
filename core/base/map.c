/* A hash map from bytes to pointers: open addressing with linear probing, and
 * deletion that moves later entries up, so that there are no tombstones. */
#include "base/map.h"

#include "base/alloc.h"

#define FIRST_BUCKETS ((size_t)16)

struct lq_map_entry {
    uint64_t hash;
    void *value;
    size_t key_len;
    char key[];
};

/* FNV-1a, with a last stir because the table uses the low bits alone. */
static uint64_t hash_of(lq_str key)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ (unsigned char)key.p[i]) * UINT64_C(0x100000001b3);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ (h >> 32);
}

static lq_str key_of(const struct lq_map_entry *e)
{
    return (lq_str){e->key, e->key_len};
}

/* The bucket that holds key, or the empty one where it would go.  There must
 * be an empty one: the table is never full. */
static size_t bucket_of(const lq_map *m, uint64_t hash, lq_str key)
{
    size_t mask = m->bucket_count - 1, i = (size_t)hash & mask;
    while (m->buckets[i]) {
        if (m->buckets[i]->hash == hash &&
            lq_str_eq(key_of(m->buckets[i]), key))
            break;
        i = (i + 1) & mask;
    }
    return i;
}

static bool grow(lq_map *m)
{
    size_t count = m->bucket_count ? m->bucket_count * 2 : FIRST_BUCKETS;
    lq_map bigger = {.bucket_count = count, .count = m->count};
    bigger.buckets = lq_calloc(count, sizeof(struct lq_map_entry *));
    if (!bigger.buckets)
        return false;
    for (size_t i = 0; i < m->bucket_count; i++) {
        struct lq_map_entry *e = m->buckets[i];
        if (e)
            bigger.buckets[bucket_of(&bigger, e->hash, key_of(e))] = e;
    }
    lq_free(m->buckets);
    *m = bigger;
    return true;
}

void *lq_map_get(const lq_map *m, lq_str key)
{
    if (m->count == 0)
        return NULL;
    const struct lq_map_entry *e = m->buckets[bucket_of(m, hash_of(key), key)];
    return e ? e->value : NULL;
}

bool lq_map_set(lq_map *m, lq_str key, void *value, void **old)
{
    uint64_t hash = hash_of(key);
    if (old)
        *old = NULL;
    if (m->count > 0) {
        struct lq_map_entry *e = m->buckets[bucket_of(m, hash, key)];
        if (e) {
            if (old)
                *old = e->value;
            e->value = value;
            return true;
        }
    }
    if (key.len > SIZE_MAX / 2)
        return false;
    /* A table that cannot grow serves on, slower, while a bucket is free. */
    if (m->count >= m->bucket_count / 4 * 3 && !grow(m) &&
        m->count + 1 >= m->bucket_count)
        return false;
    struct lq_map_entry *e = lq_malloc(sizeof *e + key.len);
    if (!e)
        return false;
    e->hash = hash;
    e->value = value;
    e->key_len = key.len;
    if (key.len)
        memcpy(e->key, key.p, key.len);
    m->buckets[bucket_of(m, hash, key)] = e;
    m->count++;
    return true;
}

void *lq_map_remove(lq_map *m, lq_str key)
{
    if (m->count == 0)
        return NULL;
    size_t hole = bucket_of(m, hash_of(key), key), mask = m->bucket_count - 1;
    struct lq_map_entry *e = m->buckets[hole];
    if (!e)
        return NULL;
    void *value = e->value;
    lq_free(e);
    m->count--;
    /* Whoever was pushed past the hole by it comes nearer to its own place. */
    for (size_t i = (hole + 1) & mask; m->buckets[i]; i = (i + 1) & mask) {
        size_t home = (size_t)m->buckets[i]->hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->buckets[hole] = m->buckets[i];
            hole = i;
        }
    }
    m->buckets[hole] = NULL;
    return value;
}

void lq_map_release(lq_map *m)
{
    for (size_t i = 0; i < m->bucket_count; i++)
        lq_free(m->buckets[i]);
    lq_free(m->buckets);
    *m = (lq_map){0};
}

bool lq_map_each(const lq_map *m, size_t *at, lq_str *key, void **value)
{
    while (*at < m->bucket_count) {
        const struct lq_map_entry *e = m->buckets[(*at)++];
        if (!e)
            continue;
        if (key)
            *key = key_of(e);
        if (value)
            *value = e->value;
        return true;
    }
    return false;
}
