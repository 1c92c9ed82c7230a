/* The arrows between states: the ones of the table, and no other. */
#include "unit.h"

#include "task/state.h"

enum {
    GONE,
    ACTIVE,
    PENDING,
    SCHEDULED,
    RETRY,
    ARCHIVED,
    COMPLETED,
    AGGREGATING
};

/* From row to column, written down apart from the code.  '1': allowed. */
static const char *const matrix[8] = {
    /*                 gone act pend sched retry arch compl aggr */
    [GONE] = "00110001",      [ACTIVE] = "10111110",
    [PENDING] = "11000100",   [SCHEDULED] = "10100101",
    [RETRY] = "10100101",     [ARCHIVED] = "10100000",
    [COMPLETED] = "10100100", [AGGREGATING] = "10100100",
};

static void every_pair__is_allowed_or_refused_as_drawn(void **state)
{
    (void)state;
    for (int from = 0; from < 8; from++)
        for (int to = 0; to < 8; to++)
            if (lq_state_may((lunaq_state)from, (lunaq_state)to) !=
                (matrix[from][to] == '1'))
                fail_msg("%s → %s", lunaq_state_name((lunaq_state)from),
                         lunaq_state_name((lunaq_state)to));
}

static void states_that_do_not_exist__have_no_arrows(void **state)
{
    (void)state;
    for (int i = -1; i < 10; i++) {
        assert_false(lq_state_may((lunaq_state)8, (lunaq_state)i));
        assert_false(lq_state_may((lunaq_state)i, (lunaq_state)8));
        assert_false(lq_state_may((lunaq_state)-1, (lunaq_state)i));
    }
}

static void table__has_every_arrow_with_its_words(void **state)
{
    (void)state;
    size_t count;
    const lq_arrow *arrows = lq_arrows(&count);
    assert_true(count > 20);
    for (size_t i = 0; i < count; i++) {
        assert_true(lq_state_may(arrows[i].from, arrows[i].to));
        assert_true(arrows[i].by[0] && arrows[i].when[0]);
        for (size_t k = 0; k < i; k++)
            assert_false(arrows[i].from == arrows[k].from &&
                         arrows[i].to == arrows[k].to &&
                         strcmp(arrows[i].by, arrows[k].by) == 0);
    }
}

/* Rows: from state 0, "not there", to 7; what can be run, archived, deleted. */
static void moves_by_hand__every_pair_as_said(void **state)
{
    static const char *const may[8] = {"",    "",   "ad",  "rad",
                                       "rad", "rd", "rad", "rad"};
    (void)state;
    for (int from = 0; from < 8; from++)
        for (int move = 0; move < 5; move++) {
            const char *name = lq_move_name((lunaq_move)move);
            bool expected = name && strchr(may[from], name[0]);
            assert_int_equal(
                lq_state_may_move((lunaq_state)from, (lunaq_move)move),
                expected);
        }
    assert_string_equal(lq_move_name(LUNAQ_MOVE_RUN), "run");
    assert_string_equal(lq_move_name(LUNAQ_MOVE_ARCHIVE), "archive");
    assert_string_equal(lq_move_name(LUNAQ_MOVE_DELETE), "delete");
    assert_null(lq_move_name((lunaq_move)0));
}

/* The strings in Redis; Asynq fails on any other. */
static const char *const names[8] = {NULL,        "active",     "pending",
                                     "scheduled", "retry",      "archived",
                                     "completed", "aggregating"};

static void names__go_both_ways(void **state)
{
    (void)state;
    for (int i = 1; i < 8; i++) {
        assert_string_equal(lunaq_state_name((lunaq_state)i), names[i]);
        assert_int_equal(lunaq_state_parse(names[i]), i);
        assert_int_equal(lq_state_from(lq_str_c(names[i])), i);
    }
}

static void names_that_are_none__are_any(void **state)
{
    (void)state;
    assert_int_equal(lunaq_state_parse("Active"), LUNAQ_STATE_ANY);
    assert_int_equal(lunaq_state_parse("activ"), LUNAQ_STATE_ANY);
    assert_int_equal(lunaq_state_parse(""), LUNAQ_STATE_ANY);
    assert_int_equal(lunaq_state_parse(NULL), LUNAQ_STATE_ANY);
    assert_string_equal(lunaq_state_name((lunaq_state)0), "unknown");
    assert_string_equal(lunaq_state_name((lunaq_state)8), "unknown");
    assert_string_equal(lunaq_state_name((lunaq_state)-1), "unknown");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair__is_allowed_or_refused_as_drawn),
        cmocka_unit_test(states_that_do_not_exist__have_no_arrows),
        cmocka_unit_test(table__has_every_arrow_with_its_words),
        cmocka_unit_test(moves_by_hand__every_pair_as_said),
        cmocka_unit_test(names__go_both_ways),
        cmocka_unit_test(names_that_are_none__are_any),
    };
    return RUN_TESTS("state", tests, LQ_COUNT(tests));
}
