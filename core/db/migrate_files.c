/* Reading a migrations folder. */
#include "db/migrate.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX ((long)16 * 1024 * 1024)

/* What a file's name says. */
struct file_name {
    int64_t version;
    lq_str dialect; /* "" = every one */
};

/* False: not a migration's name. */
static bool parse_name(const char *text, struct file_name *out)
{
    lq_str name = lq_str_c(text);
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 17 || text[digits] != '_' ||
        name.len < digits + 6)
        return false;
    if (!lq_str_int64(lq_str_n(text, digits), &out->version))
        return false;
    lq_str stem = {text, name.len - 4}; /* without ".sql" */
    const char *dot = memrchr(stem.p, '.', stem.len);
    out->dialect = (lq_str){0};
    if (dot)
        out->dialect = lq_str_n(dot + 1, (size_t)(stem.p + stem.len - dot - 1));
    return true;
}

static bool ends_in_sql(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".sql") == 0;
}

/* FNV-1a: it has to notice an edit, not to withstand an attacker, who could
 * write to the table as well. */
static void checksum(lq_str bytes, char *out)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes.len; i++)
        h = (h ^ (unsigned char)bytes.p[i]) * UINT64_C(0x100000001b3);
    snprintf(out, 17, "%016" PRIx64, h);
}

static int read_file(lq_migrations *m, const char *folder, const char *name,
                     lq_str *out, lunaq_error *err)
{
    char path[4096];
    int rc = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) {
        rc = lq_fail(err, LUNAQ_ECONFIG, "%s: %s", path, strerror(errno));
        goto out;
    }
    long size = ftell(f);
    if (size < 0 || size > FILE_MAX) {
        rc = lq_fail(err, LUNAQ_ECONFIG, "%s: longer than 16 MiB", path);
        goto out;
    }
    rewind(f);
    char *bytes = lq_arena_alloc(&m->arena, (size_t)size + 1);
    if (!bytes) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    size_t got = fread(bytes, 1, (size_t)size, f);
    bytes[got] = 0;
    if (ferror(f))
        rc = lq_fail(err, LUNAQ_ECONFIG, "%s: it cannot be read", path);
    else if (memchr(bytes, 0, got))
        rc = lq_fail(err, LUNAQ_ECONFIG, "%s: it holds a NUL byte", path);
    else if (!lq_utf8_valid(lq_str_n(bytes, got)))
        rc = lq_fail(err, LUNAQ_ECONFIG, "%s: it is not UTF-8", path);
    *out = lq_str_n(bytes, got);
out:
    if (f)
        fclose(f);
    return rc;
}

static lq_migration *find(lq_migrations *m, int64_t version)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->list[i].version == version)
            return &m->list[i];
    return NULL;
}

static bool has_dialect(const char *name)
{
    struct file_name parsed;
    return parse_name(name, &parsed) && parsed.dialect.len > 0;
}

/* A slot for a new version, or for the same version's better file; *slot NULL:
 * this file is not the one to take. */
static int place(lq_migrations *m, const char *folder, const char *name,
                 const struct file_name *parsed, lq_migration **slot,
                 lunaq_error *err)
{
    lq_migration *other = find(m, parsed->version);
    *slot = NULL;
    if (other) {
        bool was = has_dialect(other->name), is = parsed->dialect.len > 0;
        if (was == is)
            return lq_fail(err, LUNAQ_ECONFIG,
                           "%s: %s and %s have the same number; give one of "
                           "them the next free one",
                           folder, other->name, name);
        if (is)
            *slot = other;
        return 0;
    }
    if (m->count == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 16;
        lq_migration *more = lq_realloc(m->list, cap * sizeof *more);
        if (!more)
            return lq_fail_nomem(err);
        m->list = more;
        m->cap = cap;
    }
    *slot = &m->list[m->count++];
    memset(*slot, 0, sizeof **slot);
    return 0;
}

static int add(lq_migrations *m, const char *folder, const char *name,
               const char *dialect, lunaq_error *err)
{
    struct file_name parsed;
    lq_migration *slot;
    if (name[0] == '.' || !ends_in_sql(name))
        return 0;
    if (!parse_name(name, &parsed))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "%s/%s: a migration's name begins with its number, as "
                       "in 0001_name.sql",
                       folder, name);
    bool postgres = lq_str_eq(parsed.dialect, LQ_STR("postgres"));
    if (parsed.dialect.len && !postgres &&
        !lq_str_eq(parsed.dialect, LQ_STR("sqlite")))
        return lq_fail(err, LUNAQ_ECONFIG,
                       "%s/%s: no dialect '%.*s' (known: postgres, sqlite)",
                       folder, name, LQ_STR_ARG(parsed.dialect));
    if (parsed.dialect.len && !lq_str_eq(parsed.dialect, lq_str_c(dialect)))
        return 0;
    int rc = place(m, folder, name, &parsed, &slot, err);
    if (rc || !slot)
        return rc;
    slot->version = parsed.version;
    slot->name = lq_arena_dup(&m->arena, lq_str_c(name));
    if (!slot->name)
        return lq_fail_nomem(err);
    rc = read_file(m, folder, name, &slot->sql, err);
    if (!rc)
        checksum(slot->sql, slot->checksum);
    return rc;
}

static int by_version(const void *a, const void *b)
{
    int64_t x = ((const lq_migration *)a)->version;
    int64_t y = ((const lq_migration *)b)->version;
    return (x > y) - (x < y);
}

int lq_migrations_read(lq_migrations *m, const char *folder,
                       const char *dialect, lunaq_error *err)
{
    int rc = 0;
    memset(m, 0, sizeof *m);
    if (!folder)
        return 0;
    DIR *dir = opendir(folder);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return lq_fail(err, LUNAQ_ECONFIG, "%s: %s", folder, strerror(errno));
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone */
    for (struct dirent *e; !rc && (e = readdir(dir));)
        rc = add(m, folder, e->d_name, dialect, err);
    closedir(dir);
    if (m->count)
        qsort(m->list, m->count, sizeof *m->list, by_version);
    return rc;
}

void lq_migrations_release(lq_migrations *m)
{
    lq_free(m->list);
    lq_arena_release(&m->arena);
    memset(m, 0, sizeof *m);
}

void lq_migration_position(lq_str sql, int64_t position, size_t *line,
                           size_t *column)
{
    int64_t at = 1;
    *line = *column = 1;
    for (size_t i = 0; i < sql.len && at < position; i++) {
        if (sql.p[i] == '\n') {
            ++*line;
            *column = 1;
            at++;
        } else if ((sql.p[i + 1] & 0xc0) != 0x80) {
            ++*column; /* the last byte of a character */
            at++;
        }
    }
}
