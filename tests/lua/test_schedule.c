/* What the function `schedule` gives: which of it are entries, and what is said
 * of the rest. */
#include "support/test.h"

#include <stdio.h>

#include "base/alloc.h"
#include "lua/world.h"

/* One answer: the list that the function returns, as Lua, and what follows. */
typedef struct row {
    const char *name, *answer;
    size_t count, refused;
    const char *said;   /* in the log; NULL = nothing */
    const char *failed; /* the whole answer is none */
} row;

#define GOOD "{type = 't', spec = '@daily'}"

static const row rows[] = {
    {"nothing__fails", "nil", 0, 0, NULL,
     "_schedule.lua: schedule: it returned a nil, where a list of "
     "entries"},
    {"text__fails", "'@daily'", 0, 0, NULL, "schedule: it returned a string"},
    {"entry_in_place_of_a_list__fails", GOOD, 0, 0, NULL,
     "schedule: it returned a table with names in it, where a list"},
    {"empty_list__is_no_entry", "{}", 0, 0, NULL, NULL},
    {"rubbish_among_rows__is_said_by_its_number",
     "{" GOOD ", 5, " GOOD ", 'x', {type = 't', spec = '@hourly'}}", 3, 2,
     "\"file\":\"_schedule.lua\",\"row\":4", NULL},
    {"row_without_a_spec__is_said", "{{type = 't'}}", 0, 1,
     "\\\"spec\\\" is missing", NULL},
    {"spec_with_a_zero_byte__is_said", "{{type = 't', spec = '@daily\\0x'}}", 0,
     1, "spec: it holds a zero byte", NULL},
    {"type_with_a_zero_byte__is_said", "{{type = 't\\0', spec = '@daily'}}", 0,
     1, "type: it holds a zero byte", NULL},
    {"name_with_a_line_end__is_said",
     "{{type = 't', spec = '@daily', name = 'a\\nb'}}", 0, 1,
     "name: byte 1 is a control character", NULL},
    {"name_that_is_no_text__is_said",
     "{{type = 't', spec = '@daily', name = '\\xff'}}", 0, 1,
     "name: byte 0 is not UTF-8", NULL},
    {"time_of_its_own__is_said",
     "{{type = 't', spec = '@daily', process_in = '5m'}}", 0, 1,
     "process_in: a tick has an id and a time of its own", NULL},
    {"unknown_member__is_said", "{{type = 't', spec = '@daily', retries = 5}}",
     0, 1, "unknown option 'retries'; did you mean 'max_retry'?", NULL},
    {"word_of_another_system__is_answered",
     "{{type = 't', spec = '@daily', timezone = 'Asia/Tokyo'}}", 0, 1,
     "unknown option 'timezone'; did you mean 'tz'?", NULL},
    {"spec_by_another_name__is_answered", "{{type = 't', every = '1h'}}", 0, 1,
     "unknown option 'every'; did you mean 'spec'?", NULL},
    {"row_switched_off__is_left_out",
     "{" GOOD ", {type = 't', spec = 'never', enabled = false}}", 1, 0, NULL,
     NULL},
};

static void check(void **state)
{
    const row *c = *state;
    char source[600];
    int64_t before = lq_alloc_live();
    lq_provide_out out = {0};
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    snprintf(source, sizeof source,
             "return {schedule = function() return %s end}", c->answer);
    world_write(w, "handlers/_schedule.lua", source);
    world_open(w);
    lq_run run = {.kind = LQ_RUN_PROVIDE,
                  .task = {.type = LQ_STR(LQ_SCHEDULE_TYPE)},
                  .out = &out};
    world_run *r = world_start_run(w, run, 10000);
    world_wait(w, r);
    if (c->failed) {
        assert_int_equal(r->kind, LQ_FAILED);
        if (!strstr(r->message, c->failed))
            fail_msg("message: %s", r->message);
    } else {
        assert_int_equal(r->kind, LQ_SUCCEEDED);
    }
    assert_int_equal(out.count, c->count);
    assert_int_equal(out.refused, c->refused);
    if (c->said && !world_sees(w, c->said))
        fail_msg("not said: %s", c->said);
    for (lq_provided *p = out.entries; p; p = p->next)
        lq_enqueue_release(&p->item);
    lq_arena_release(&out.mem);
    world_end(r);
    world_free(w);
    assert_int_equal(lq_alloc_live(), before);
}

static void thousands_of_faulty_rows__are_said_in_some_lines(void **state)
{
    (void)state;
    lq_provide_out out = {0};
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(w, "handlers/_schedule.lua",
                "return {schedule = function()\n  local t = {}\n"
                "  for i = 1, 10000 do t[i] = {type = 't', spec = 'x'} end\n"
                "  t[10001] = " GOOD " return t end}");
    world_open(w);
    lq_run run = {.kind = LQ_RUN_PROVIDE,
                  .task = {.type = LQ_STR(LQ_SCHEDULE_TYPE)},
                  .out = &out};
    world_run *r = world_start_run(w, run, 30000);
    world_wait(w, r);
    assert_int_equal(r->kind, LQ_SUCCEEDED);
    assert_int_equal(out.refused, 10000);
    assert_int_equal(out.count, 1);
    assert_true(world_sees(w, "\"row\":10,"));
    assert_true(world_sees(w, "\"count\":9990"));
    pthread_mutex_lock(&w->lock);
    assert_null(strstr(w->log_text.p, "\"row\":11,"));
    pthread_mutex_unlock(&w->lock);
    lq_enqueue_release(&out.entries->item);
    lq_arena_release(&out.mem);
    world_end(r);
    world_free(w);
}

static void entry_without_a_payload__has_an_empty_one(void **state)
{
    (void)state;
    const lq_task task = {.type = LQ_STR("t"), .queue = LQ_STR("default")};
    const lq_tick_in in = {
        .entry_id = "t|@daily", .spec = "@daily", .task = &task};
    lq_before_out out = {0};
    world *w = world_new(LUNAQ_INTERRUPT_SIGNAL, false);
    world_write(w, "handlers/_schedule.lua",
                "return {before_enqueue = function(entry)\n"
                "  return entry.payload.urgent ~= nil end}");
    world_open(w);
    lq_run run = {.kind = LQ_RUN_BEFORE_ENQUEUE,
                  .task = {.type = LQ_STR(LQ_SCHEDULE_TYPE)},
                  .in = &in,
                  .out = &out};
    world_run *r = world_start_run(w, run, 10000);
    world_wait(w, r);
    assert_int_equal(r->kind, LQ_SUCCEEDED);
    assert_true(out.skip);
    world_end(r);
    world_free(w);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(entry_without_a_payload__has_an_empty_one),
        cmocka_unit_test(thousands_of_faulty_rows__are_said_in_some_lines),
    };
    static struct CMUnitTest tests[LQ_COUNT(rows)];
    for (size_t i = 0; i < LQ_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].name, check, NULL, NULL,
                                       (void *)(uintptr_t)&rows[i]};
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("schedule, rows", tests, NULL, NULL) +
           cmocka_run_group_tests_name("schedule", others, NULL, NULL);
}
