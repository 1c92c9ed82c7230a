/* Reading a handler folder: see source.h. */
#include "lua/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 16

/* One walk over handlers/ and lib/. */
struct walk {
    char root[PATH_MAX]; /* the real path of the project */
    lq_lua_source *out;  /* NULL: only stamp */
    size_t cap;
    uint64_t stamp;
    bool is_lib;
    lunaq_error *err;
};

static bool ends_in(const char *name, const char *tail)
{
    size_t n = strlen(name), t = strlen(tail);
    return n >= t && strcmp(name + n - t, tail) == 0;
}

/* FNV-1a, over what stat() says. */
static void mix(struct walk *w, const void *p, size_t len)
{
    const unsigned char *c = p;
    for (size_t i = 0; i < len; i++)
        w->stamp = (w->stamp ^ c[i]) * UINT64_C(1099511628211);
}

/* A link may lead to another place of the project, not out of it. */
static int check_inside(struct walk *w, const char *path, const char *name)
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        return lq_fail(w->err, LUNAQ_EIO, "%s: %s", name, strerror(errno));
    size_t n = strlen(w->root);
    if (strncmp(real, w->root, n) != 0 || (real[n] != '/' && n > 1))
        return lq_fail(w->err, LUNAQ_EHANDLER,
                       "%s: the link leads out of the project: copy the file "
                       "into lib/",
                       name);
    return LUNAQ_OK;
}

static void hash_text(lq_lua_file *f)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (!EVP_Digest(f->text.p, f->text.len, digest, &len, EVP_sha256(), NULL))
        len = 0;
    for (unsigned i = 0; i < len && i < (sizeof f->hash - 1) / 2; i++)
        snprintf(f->hash + 2 * (size_t)i, 3, "%02x", digest[i]);
}

/* As Lua reads files: a byte order mark, which some editors write, is none of
 * the text, and a first line "#!…" a comment. */
static lq_str without_marks(char *text, size_t len)
{
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        len -= 3;
    }
    if (len >= 2 && text[0] == '#' && text[1] == '!')
        text[0] = text[1] = '-';
    return lq_str_n(text, len);
}

static int read_text(struct walk *w, int fd, size_t size, const char *name,
                     lq_str *out)
{
    if (size > LQ_LUA_FILE_MAX)
        return lq_fail(w->err, LUNAQ_EHANDLER,
                       "%s: it has %zu bytes, more than %zu", name, size,
                       LQ_LUA_FILE_MAX);
    char *text = lq_arena_alloc(&w->out->mem, size + 1);
    if (!text)
        return lq_fail_nomem(w->err);
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, text + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return lq_fail(w->err, LUNAQ_EIO, "%s: %s", name, strerror(errno));
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *out = without_marks(text, len);
    return LUNAQ_OK;
}

static int add_file(struct walk *w, const char *path, const char *name)
{
    if (w->out->count == LQ_LUA_FILES_MAX)
        return lq_fail(w->err, LUNAQ_EHANDLER, "more than %zu Lua files",
                       LQ_LUA_FILES_MAX);
    if (w->out->count == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 16;
        lq_lua_file *files = lq_realloc(w->out->files, cap * sizeof *files);
        if (!files)
            return lq_fail_nomem(w->err);
        w->out->files = files;
        w->cap = cap;
    }
    lq_lua_file f = {.is_lib = w->is_lib};
    f.name = lq_arena_dup(&w->out->mem, lq_str_c(name));
    if (!f.name)
        return lq_fail_nomem(w->err);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        int rc = lq_fail(w->err, LUNAQ_EIO, "%s: %s", name, strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = read_text(w, fd, (size_t)st.st_size, name, &f.text);
    close(fd);
    if (rc)
        return rc;
    hash_text(&f);
    w->out->files[w->out->count++] = f;
    return LUNAQ_OK;
}

static int walk(struct walk *w, const char *path, const char *name, int depth);

static int visit(struct walk *w, const char *path, const char *name,
                 const char *leaf, int depth)
{
    struct stat st, link;
    if (leaf[0] == '.' || lstat(path, &link))
        return LUNAQ_OK; /* hidden, or gone since the folder was listed */
    if (stat(path, &st)) {
        if (!S_ISLNK(link.st_mode) || !ends_in(leaf, ".lua"))
            return LUNAQ_OK;
        mix(w, name, strlen(name));
        return w->out ? lq_fail(w->err, LUNAQ_EHANDLER,
                                "%s: the link leads nowhere: mend or delete it",
                                name)
                      : LUNAQ_OK;
    }
    if (S_ISDIR(st.st_mode)) {
        if (S_ISLNK(link.st_mode) && w->out) {
            int rc = check_inside(w, path, name);
            if (rc)
                return rc;
        }
        return walk(w, path, name, depth + 1);
    }
    if (!S_ISREG(st.st_mode) || !ends_in(leaf, ".lua") ||
        ends_in(leaf, "_test.lua"))
        return LUNAQ_OK;
    if (!w->out) {
        mix(w, name, strlen(name));
        mix(w, &st.st_size, sizeof st.st_size);
        mix(w, &st.st_mtim, sizeof st.st_mtim);
        mix(w, &st.st_ino, sizeof st.st_ino);
        return LUNAQ_OK;
    }
    if (S_ISLNK(link.st_mode)) {
        int rc = check_inside(w, path, name);
        if (rc)
            return rc;
    }
    return add_file(w, path, name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int walk(struct walk *w, const char *path, const char *name, int depth)
{
    struct dirent **entries = NULL;
    if (depth > DEPTH_MAX)
        return lq_fail(w->err, LUNAQ_EHANDLER,
                       "%s: folders are nested deeper than %d", name,
                       DEPTH_MAX);
    int count = scandir(path, &entries, NULL, by_name);
    if (count < 0)
        return lq_fail(w->err, LUNAQ_EIO, "%s: %s", path, strerror(errno));
    int rc = LUNAQ_OK;
    for (int i = 0; i < count; i++) {
        char full[PATH_MAX], rel[PATH_MAX];
        const char *leaf = entries[i]->d_name;
        int n = snprintf(full, sizeof full, "%s/%s", path, leaf);
        int m =
            snprintf(rel, sizeof rel, "%s%s%s", name, *name ? "/" : "", leaf);
        if (!rc && n < PATH_MAX && m < PATH_MAX)
            rc = visit(w, full, rel, leaf, depth);
        free(entries[i]);
    }
    free((void *)entries);
    return rc;
}

static int walk_both(struct walk *w, const char *folder)
{
    char real[PATH_MAX];
    if (!realpath(folder, real))
        return lq_fail(w->err, LUNAQ_EIO, "%s: %s", folder, strerror(errno));
    snprintf(w->root, sizeof w->root, "%s", real);
    char *slash = strrchr(w->root, '/');
    if (slash && slash != w->root)
        *slash = 0;
    int rc = walk(w, real, "", 0);
    if (rc)
        return rc;
    char lib[PATH_MAX];
    int n = snprintf(lib, sizeof lib, "%s/lib", w->root);
    struct stat st;
    w->is_lib = true;
    if (n < PATH_MAX && stat(lib, &st) == 0 && S_ISDIR(st.st_mode))
        rc = walk(w, lib, "lib", 0);
    return rc;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const lq_lua_file *)a)->name,
                  ((const lq_lua_file *)b)->name);
}

int lq_lua_source_read(lq_lua_source *out, const char *folder, lunaq_error *err)
{
    struct walk w = {.out = out, .err = err};
    int rc = walk_both(&w, folder);
    if (rc)
        lq_lua_source_release(out);
    else if (out->count > 0)
        qsort(out->files, out->count, sizeof *out->files, compare);
    return rc;
}

void lq_lua_source_release(lq_lua_source *s)
{
    lq_free(s->files);
    lq_arena_release(&s->mem);
    *s = (lq_lua_source){0};
}

const lq_lua_file *lq_lua_source_find(const lq_lua_source *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->files[i].name, name) == 0)
            return &s->files[i];
    return NULL;
}

uint64_t lq_lua_source_stamp(const char *folder)
{
    struct walk w = {.stamp = UINT64_C(14695981039346656037)};
    return walk_both(&w, folder) ? 0 : w.stamp;
}
