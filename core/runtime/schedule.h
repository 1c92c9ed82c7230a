/* The set of periodic entries that a server knows, and what it knows of each.
 *
 * Entries come from several places: the configuration, handler files,
 * providers.  Each place is read again as a whole; an entry that stays keeps
 * what the broker said of it.
 */
#ifndef LQ_SCHEDULE_H
#define LQ_SCHEDULE_H

#include "base/alloc.h"
#include "runtime/runtime.h"
#include "task/cron_due.h"

#define LQ_ENTRY_ID_MAX (LUNAQ_NAME_MAX * 3)

/* One periodic entry.  The strings of its task live in `copy`. */
typedef struct lq_entry {
    struct lq_entry *next;
    char id[LQ_ENTRY_ID_MAX];
    const char *spec; /* with its zone */
    const char *name; /* or NULL */
    lq_cron_rule rule;
    lq_arena copy;
    lq_enqueue item;
    int place;       /* where it comes from */
    bool kept;       /* seen again in this reading of its place */
    bool claimed;    /* another place wants it, too */
    bool seen;       /* its last instant was read from the broker */
    int64_t base_ms; /* what next_ms follows: its last instant or first sight */
    int64_t last_ms; /* 0 = it never fired */
    int64_t next_ms; /* 0 = never */
    bool refused;    /* the broker did not take its tick, in this round */
    int64_t sent_ms; /* the instant whose reply was lost: `item` is sent again
                        as it was, unless that is long ago, and the broker
                        knows it; 0 */
    int64_t asked_ms; /* the instant that before_enqueue was asked about; 0 */
    bool answered;    /* … and it has answered … */
    bool skip;        /* … that it shall enqueue nothing */
} lq_entry;

typedef struct lq_schedule {
    lq_runtime *rt;
    lq_entry *entries; /* a linked list */
    size_t count;
    lq_map by_id;
    lq_zones zones;
    int place;      /* that is being read … */
    size_t ignored; /* … and of whose entries so many were left out */
    bool moved; /* an entry went that another place was refused: that one is to
                   be read again */
} lq_schedule;

void lq_schedule_release(lq_schedule *s);

/** Reads the zones' files again; what follows from them changes. */
void lq_schedule_reload_zones(lq_schedule *s);

/** Begins to read a place: lq_schedule_want() for each of its entries, then
 *  lq_schedule_end(), which drops those that were not wanted again. */
void lq_schedule_begin(lq_schedule *s, int place);
/** Adds, keeps or replaces an entry.  One that is faulty, or that the place or
 *  another one has already, is logged (the first few of a place) and left out;
 *  the others are not concerned. */
void lq_schedule_want(lq_schedule *s, const lq_cron_want *want);
void lq_schedule_end(lq_schedule *s);

/** NULL when there is none. */
lq_entry *lq_schedule_find(const lq_schedule *s, const char *id);

/** What to fire of it now, or 0. */
int64_t lq_entry_due(lq_entry *e, int64_t now_ms);
/** Its last instant lies further ahead than a sound clock can say. */
bool lq_entry_ahead(const lq_entry *e, int64_t now_ms);
/** The broker said which its last instant is; never: it was only seen then. */
void lq_entry_learn(lq_entry *e, int64_t last_ms, bool never, int64_t now_ms);

#endif
