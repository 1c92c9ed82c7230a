/* The doctor, on both brokers. */
#include "inspect_world.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#define S "aaaaaaaa-0000-4000-8000-00000000000a"

struct heard {
    char lines[4000]; /* "level area: text" … */
};

static void note(void *ud, const lunaq_finding *f)
{
    struct heard *h = ud;
    size_t at = strlen(h->lines);
    assert_true((f->level == LUNAQ_LEVEL_OK) == (f->cure[0] == '\0'));
    snprintf(h->lines + at, sizeof h->lines - at, "%d %s: %s\n", (int)f->level,
             f->area, f->text);
}

static struct heard look(struct world *w)
{
    struct heard h = {{0}};
    lunaq_error err = LUNAQ_ERROR_INIT;
    if (lunaq_doctor(w->client, note, &h, &err))
        fail_msg("%s", err.message);
    return h;
}

static void assert_heard(const struct heard *h, const char *text, bool wanted)
{
    if ((strstr(h->lines, text) != NULL) != wanted)
        fail_msg("'%s' is %s in:\n%s", text, wanted ? "not" : "yet", h->lines);
}

static void doctor__all_well__warns_of_no_queue_or_server(void **state)
{
    struct world *w = *state;
    struct planted held = {.queue = "q",
                           .id = "a",
                           .state = LUNAQ_ACTIVE,
                           .score = lq_now_ms() / 1000 + 600};
    plant(w, &held);
    plant_server(w, S, "q", "{\"remote_control\":true}");
    struct heard h = look(w);
    assert_heard(&h, "0 version: ", true);
    assert_heard(&h, "0 server: 1 live", true);
    assert_heard(&h, "0 queue: 1, all served", true);
}

static void doctor__queue_of_another_server__is_served_by_nobody(void **state)
{
    struct world *w = *state;
    struct planted p = {.queue = "q", .id = "p", .state = LUNAQ_RETRY};
    plant(w, &p);
    plant_server(w, S, "other", NULL);
    struct heard h = look(w);
    assert_heard(&h, "2 queue: 'q' is served by nobody; 1 task waits", true);
}

static void doctor__paused_late_and_orphaned__are_told(void **state)
{
    struct world *w = *state;
    struct planted lost = {.queue = "q", .id = "a", .state = LUNAQ_ACTIVE};
    struct planted late = {.queue = "late",
                           .id = "p",
                           .state = LUNAQ_PENDING,
                           .score = lq_now_ms() / 1000 - 600};
    plant(w, &lost);
    plant(w, &late);
    plant_server(w, S, "q", NULL);
    plant_server(w, "bbbbbbbb-0000-4000-8000-00000000000b", "late", NULL);
    struct heard h = look(w);
    assert_heard(&h, "1 leases: 'q' has 1 active task whose holder is gone",
                 true);
    assert_heard(&h, "1 queue: 'late' is behind", true);
    assert_int_equal(lunaq_queue_pause(w->client, "late", NULL), 0);
    h = look(w);
    assert_heard(&h, "1 queue: 'late' is paused; 1 task is pending", true);
    assert_heard(&h, "is behind", false);
}

static void doctor__no_server_and_rejected_edit__are_told(void **state)
{
    struct world *w = *state;
    struct heard h = look(w);
    assert_heard(&h, "server: no server lives", true);
    plant_server(w, S, "q",
                 "{\"generation\":2,\"rejected\":\"a.lua:3: oops\","
                 "\"handlers\":[]}");
    h = look(w);
    assert_heard(&h, "1 handlers: an edit was rejected: a.lua:3: oops", true);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(doctor__all_well__warns_of_no_queue_or_server),
        TEST(doctor__queue_of_another_server__is_served_by_nobody),
        TEST(doctor__paused_late_and_orphaned__are_told),
        TEST(doctor__no_server_and_rejected_edit__are_told),
    };
    return world_run("inspect_doctor", tests, LQ_COUNT(tests), NULL, 0, argc,
                     argv);
}
