/* A queue file as the inspector's tests need it. */
#include "inspect_world.h"
#include "broker/inspect.h"

#include "sqlite/caller.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int start(struct world *w)
{
    strcpy(w->folder, "/tmp/lunaq-inspect-XXXXXX");
    if (!mkdtemp(w->folder))
        return -1;
    snprintf(w->path, sizeof w->path, "%s/queue.db", w->folder);
    return 0;
}

static void wipe(struct world *w)
{
    static const char *const tails[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < LQ_COUNT(tails); i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", w->path, tails[i]);
        (void)unlink(name);
    }
}

static void stop(struct world *w)
{
    char name[128];
    wipe(w);
    snprintf(name, sizeof name, "%s/wake", w->folder);
    (void)rmdir(name);
    (void)rmdir(w->folder);
}

static int open_file(struct world *w, lq_caller **out)
{
    return lq_sqlite_caller_open(out, w->path, NULL, NULL);
}

static lq_str optional(const char *text)
{
    return text ? lq_str_c(text) : (lq_str){0};
}

static void plant_row(struct world *w, const struct planted *p, lq_str msg)
{
    lq_copy item = {.state = p->state,
                    .id = lq_str_c(p->id),
                    .msg = msg,
                    .group = optional(p->group),
                    .unique_key = optional(p->lock),
                    .cancel = optional(p->cancel),
                    .result = optional(p->result),
                    .at_ms = (p->score ? p->score : 1700000000) * 1000,
                    .crashes = p->crashes,
                    .lock_ms = p->lock ? 600000 : 0};
    lq_op_import op = {.queue = lq_str_c(p->queue), .items = &item, .count = 1};
    lq_op_init(&op.op, LQ_OP_IMPORT);
    carry_out(w, &op.op);
    assert_int_equal(item.code, LUNAQ_OK);
    lq_op_release(&op.op);
}

/* The first integer of a statement; ?1 is text. */
static int64_t ask(struct world *w, const char *sql, const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int64_t n = -1;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    if (text)
        assert_int_equal(sqlite3_bind_text(s, 1, text, -1, SQLITE_STATIC), 0);
    if (sqlite3_step(s) == SQLITE_ROW)
        n = sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    return n;
}

static bool is_locked(struct world *w, const char *lock)
{
    return ask(w, "SELECT count(*) FROM unique_lock WHERE key = ?1", lock) == 1;
}

static int64_t rows(struct world *w)
{
    lq_op_queues op = {0}; /* the file is made at the first call */
    lq_op_init(&op.op, LQ_OP_QUEUES);
    carry_out(w, &op.op);
    lq_op_release(&op.op);
    return ask(w,
               "SELECT (SELECT count(*) FROM queue)"
               " + (SELECT count(*) FROM task)"
               " + (SELECT count(*) FROM unique_lock)"
               " + (SELECT count(*) FROM stat) + (SELECT count(*) FROM cron) + "
               "(SELECT count(*) FROM cron_history)",
               NULL);
}

const struct inspected inspected_sqlite = {
    "sqlite", start, stop, wipe, open_file, plant_row, is_locked, rows};
