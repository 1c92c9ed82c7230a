/* Watching a folder and everything below it.
 *
 * The system watches one folder at a time, so this keeps a watch a folder and
 * compares the tree with its watches whenever something changed.  fn comes
 * after that: what was put into a new folder before it had a watch is there to
 * be found.  Where a folder is missing or cannot be watched, fn comes every
 * RESCAN_MS until it can be again: a call too many costs the caller one look.
 */
#include "loop/loop_uv.h"

#include "base/alloc.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define RESCAN_MS 2000
#define DEPTH_MAX 16
#define FOLDERS_MAX 1000

struct folder {
    uv_fs_event_t uv;
    lq_fswatch *watch;
    lq_list node;
    dev_t dev; /* what was there: a folder replaced by another is a new one */
    ino_t ino;
    bool seen; /* by the scan under way */
};

struct lq_fswatch {
    lq_loop *loop;
    void (*fn)(void *ud);
    void *ud;
    char *root;
    lq_timer *timer; /* something changed: look at the end of the turn */
    lq_list folders;
    size_t count;
    bool blind; /* the last scan left something unwatched */
};

static void fswatch_scan(lq_fswatch *w, const char *path, int depth,
                         lunaq_error *err);

static void folder_gone(uv_handle_t *handle)
{
    lq_free(handle->data);
}

static void folder_close(struct folder *f)
{
    lq_list_remove(&f->node);
    f->watch->count--;
    uv_close((uv_handle_t *)&f->uv, folder_gone);
}

static void folder_changed(uv_fs_event_t *uv, const char *name, int events,
                           int status)
{
    struct folder *f = uv->data;

    (void)name;
    (void)events;
    (void)status;
    lq_timer_start(f->watch->timer, 0);
}

static struct folder *folder_find(lq_fswatch *w, const struct stat *st)
{
    LQ_LIST_EACH (&w->folders, node) {
        struct folder *f = LQ_OF(node, struct folder, node);
        if (f->dev == st->st_dev && f->ino == st->st_ino)
            return f;
    }
    return NULL;
}

static struct folder *folder_open(lq_fswatch *w, const char *path,
                                  const struct stat *st, lunaq_error *err)
{
    struct folder *f;
    int rc;

    if (w->count >= FOLDERS_MAX) {
        lq_fail(err, LUNAQ_EIO, "%s: more than %d folders to watch", w->root,
                FOLDERS_MAX);
        return NULL;
    }
    f = lq_calloc(1, sizeof(*f));
    if (!f) {
        lq_fail_nomem(err);
        return NULL;
    }
    rc = uv_fs_event_init(&w->loop->uv, &f->uv);
    if (rc) {
        lq_free(f);
        lq_fail_uv(err, rc, path);
        return NULL;
    }
    f->uv.data = f;
    f->watch = w;
    f->dev = st->st_dev;
    f->ino = st->st_ino;
    lq_list_append(&w->folders, &f->node);
    w->count++;
    rc = uv_fs_event_start(&f->uv, folder_changed, path, 0);
    if (rc) {
        folder_close(f);
        lq_fail_uv(err, rc, path);
        return NULL;
    }
    return f;
}

/* Hidden folders hold version control's and Kubernetes' own files; what comes
 * into view from there changes the folder that shows it. */
static void folder_descend(lq_fswatch *w, const char *path, int depth,
                           lunaq_error *err)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    if (!dir) {
        w->blind = true;
        lq_fail_uv(err, uv_translate_sys_error(errno), path);
        return;
    }
    while ((entry = readdir(dir))) {
        char below[4096];
        int n;

        if (entry->d_name[0] == '.')
            continue;
        if (entry->d_type != DT_DIR && entry->d_type != DT_LNK &&
            entry->d_type != DT_UNKNOWN)
            continue;
        n = snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
        if (n > 0 && (size_t)n < sizeof(below))
            fswatch_scan(w, below, depth + 1, err);
    }
    closedir(dir);
}

/* Watches path and what is below.  A folder that a link leads to is found by
 * what it is, so that links in a circle end. */
static void fswatch_scan(lq_fswatch *w, const char *path, int depth,
                         lunaq_error *err)
{
    struct folder *f;
    struct stat st;

    if (stat(path, &st) != 0) {
        if (depth == 0) {
            w->blind = true;
            lq_fail_uv(err, uv_translate_sys_error(errno), path);
        }
        return; /* gone since, or a link to nowhere */
    }
    if (!S_ISDIR(st.st_mode)) {
        if (depth == 0) {
            w->blind = true;
            lq_fail(err, LUNAQ_EIO, "%s: not a folder", path);
        }
        return;
    }
    f = folder_find(w, &st);
    if (f && f->seen)
        return;
    if (!f)
        f = folder_open(w, path, &st, err);
    if (!f) {
        w->blind = true;
        return;
    }
    f->seen = true;
    if (depth < DEPTH_MAX)
        folder_descend(w, path, depth, err);
}

/* Compares the tree with the watches. */
static void fswatch_rescan(lq_fswatch *w, lunaq_error *err)
{
    w->blind = false;
    LQ_LIST_EACH (&w->folders, node) {
        LQ_OF(node, struct folder, node)->seen = false;
    }
    fswatch_scan(w, w->root, 0, err);
    LQ_LIST_EACH (&w->folders, node) {
        struct folder *f = LQ_OF(node, struct folder, node);
        if (!f->seen)
            folder_close(f);
    }
}

static void fswatch_changed(void *ud)
{
    lq_fswatch *w = ud;

    fswatch_rescan(w, NULL);
    if (w->blind)
        lq_timer_start(w->timer, RESCAN_MS);
    w->fn(w->ud); /* w may be gone after it */
}

int lq_fswatch_new(lq_fswatch **out, lq_loop *loop, const char *folder,
                   void (*fn)(void *ud), void *ud, lunaq_error *err)
{
    lunaq_error why = LUNAQ_ERROR_INIT;
    lq_fswatch *w = lq_calloc(1, sizeof(*w));
    int rc;

    *out = NULL;
    if (!w)
        return lq_fail_nomem(err);
    w->loop = loop;
    w->fn = fn;
    w->ud = ud;
    lq_list_init(&w->folders);
    w->root = lq_strdup(folder);
    if (!w->root) {
        rc = lq_fail_nomem(err);
        goto fail;
    }
    rc = lq_timer_new(&w->timer, loop, fswatch_changed, w, err);
    if (rc)
        goto fail;
    fswatch_rescan(w, &why);
    if (w->blind) {
        rc = lq_fail(err, LUNAQ_EIO, "cannot watch %s", why.message);
        goto fail;
    }
    *out = w;
    return LUNAQ_OK;

fail:
    lq_fswatch_close(w);
    return rc;
}

void lq_fswatch_close(lq_fswatch *w)
{
    if (!w)
        return;
    LQ_LIST_EACH (&w->folders, node) {
        folder_close(LQ_OF(node, struct folder, node));
    }
    lq_timer_close(w->timer);
    lq_free(w->root);
    lq_free(w);
}
