/* The log: both formats, escaping, the bounded queue, and its thread. */
#include "unit.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <regex.h>
#include <unistd.h>

/* ---- a sink that remembers ---------------------------------------------- */

struct sink {
    lq_buf lines; /* each with a newline */
    int count;
    lunaq_log_level last;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool blocked, waiting;
};

static void sink_line(lunaq_log_level level, const char *line, size_t len,
                      void *userdata)
{
    struct sink *s = userdata;
    pthread_mutex_lock(&s->mutex);
    while (s->blocked) {
        s->waiting = true;
        pthread_cond_broadcast(&s->changed);
        pthread_cond_wait(&s->changed, &s->mutex);
    }
    s->waiting = false;
    if (strlen(line) != len)
        abort();
    lq_buf_add(&s->lines, line, len);
    lq_buf_add_char(&s->lines, '\n');
    s->last = level;
    s->count++;
    pthread_mutex_unlock(&s->mutex);
}

static void sink_init(struct sink *s)
{
    *s = (struct sink){0};
    lq_buf_init(&s->lines, 0);
    lq_buf_add_c(&s->lines, "");
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->changed, NULL);
}

static void sink_release(struct sink *s)
{
    lq_buf_release(&s->lines);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
}

static lq_log *open_log(struct sink *s, lunaq_log_format format)
{
    const lq_log_options o = {
        .format = format, .sink = sink_line, .userdata = s};
    sink_init(s);
    lq_log *log = lq_log_new(&o);
    assert_non_null(log);
    return log;
}

/* Closes the log, so that everything is written, and compares the one line
 * behind its time. */
static void assert_text(struct sink *s, lq_log *log, const char *want)
{
    lq_log_free(log);
    regex_t time;
    assert_int_equal(regcomp(&time,
                             "^[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\."
                             "[0-9][0-9][0-9]  ",
                             REG_EXTENDED | REG_NOSUB),
                     0);
    assert_int_equal(regexec(&time, s->lines.p, 0, NULL, 0), 0);
    regfree(&time);
    assert_int_equal(s->count, 1);
    s->lines.p[s->lines.len - 1] = 0;
    assert_string_equal(s->lines.p + 14, want);
    sink_release(s);
}

/* ---- text --------------------------------------------------------------- */

static void text__of_a_task__has_type_and_short_id(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_TEXT);
    LQ_LOG(log, INFO, "succeeded  1.2ms", lq_fc("type", "hello"),
           lq_fc("task_id", "019ac0de-0000-7000-8000-00009c41e0a7"),
           lq_fi("attempt", 1));
    assert_text(&s, log, "hello …9c41e0a7  succeeded  1.2ms");
}

static void text__of_a_later_attempt__says_which(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_TEXT);
    LQ_LOG(log, INFO, "start", lq_fc("task_id", "t1"), lq_fc("type", "x"),
           lq_fi("attempt", 2));
    assert_text(&s, log, "x t1  start  attempt 2");
}

static void text__of_an_attempt_of_so_many__says_both(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_TEXT);
    LQ_LOG(log, INFO, "start", lq_fc("task_id", "t1"), lq_fc("type", "x"),
           lq_fi("attempt", 1), lq_fi("attempts", 26), lq_fc("see", "a b"));
    assert_text(&s, log, "x t1  start  attempt 1/26  see=\"a b\"");
}

static void text__without_a_task__has_no_columns(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_TEXT);
    LQ_LOG(log, INFO, "reload", lq_fi("generation", 2), lq_fc("type", "t"));
    assert_text(&s, log, "reload  generation=2  type=t");
}

static void text__of_a_warning__says_so(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_TEXT);
    LQ_LOG(log, WARN, "slow");
    assert_text(&s, log, "warn  slow");
    log = open_log(&s, LUNAQ_LOG_TEXT);
    LQ_LOG(log, ERROR, "broken");
    assert_text(&s, log, "error  broken");
}

static void text__values__are_quoted_when_they_must(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_TEXT);
    const lq_field raw = {
        .key = "json", .kind = LQ_FIELD_RAW, .str = LQ_STR("{\"a\": 1}")};
    LQ_LOG(log, INFO, "m", lq_fc("a", "plain"), lq_fc("b", "two words"),
           lq_fc("c", ""), lq_fc("d", "a=b"), lq_fc("e", "say \"hi\""),
           lq_fd("f", 0.5), lq_fi("g", INT64_MIN), raw);
    assert_text(&s, log,
                "m  a=plain  b=\"two words\"  c=\"\"  d=\"a=b\"  "
                "e=\"say \\\"hi\\\"\"  f=0.5  g=-9223372036854775808  "
                "json={\"a\": 1}");
}

static void text__control_characters_and_bad_utf8__are_escaped(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_TEXT);
    lq_log_write(log, LUNAQ_LOG_INFO,
                 LQ_STR("a\x1b[31m\nb\t\xc2\x9b\x7f\xff gr\xc3\xbc\xc3\x9f\0."),
                 NULL, 0);
    assert_text(&s, log,
                "a\\x1b[31m\\nb\\t\\xc2\\x9b\\x7f\\xff gr\xc3\xbc\xc3\x9f"
                "\\x00.");
}

static void text__a_very_long_value__is_cut(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_TEXT);
    char *text = lq_malloc(100001);
    memset(text, 'x', 100000);
    text[100000] = 0;
    LQ_LOG(log, INFO, text);
    lq_free(text);
    lq_log_free(log);
    assert_in_range(s.lines.len, 16384, 17000);
    assert_non_null(strstr(s.lines.p, "xx…\n"));
    sink_release(&s);
}

/* ---- JSON --------------------------------------------------------------- */

static const char *member(const cJSON *object, const char *key)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_non_null(m);
    assert_true(cJSON_IsString(m));
    return m->valuestring;
}

static double number(const cJSON *object, const char *key)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_non_null(m);
    assert_true(cJSON_IsNumber(m));
    return m->valuedouble;
}

static void json__of_a_task__has_every_member(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_JSON);
    const lq_field raw = {
        .key = "data", .kind = LQ_FIELD_RAW, .str = LQ_STR("[1,\n2]")};
    const lq_field none = {.key = "none", .kind = LQ_FIELD_RAW};
    int64_t before = lq_now_ms();
    LQ_LOG(log, WARN, "it \"failed\"\n\x1b\xff\\", lq_fi("attempt", 3),
           lq_fc("type", "hello"), lq_fc("task_id", "t1"), lq_fd("d", -0.25),
           lq_fd("inf", 1.0 / 0.0), lq_fc("level", "mine"), raw, none);
    lq_log_free(log);
    int64_t after = lq_now_ms();
    assert_int_equal(s.last, LUNAQ_LOG_WARN);
    assert_ptr_equal(strchr(s.lines.p, '\n'), s.lines.p + s.lines.len - 1);
    assert_true(lq_utf8_valid(lq_buf_str(&s.lines)));
    cJSON *o = cJSON_Parse(s.lines.p);
    assert_non_null(o);
    assert_string_equal(member(o, "level"), "warn");
    assert_string_equal(member(o, "level_"), "mine");
    assert_string_equal(member(o, "msg"), "it \"failed\"\n\x1b\xef\xbf\xbd\\");
    assert_string_equal(member(o, "type"), "hello");
    assert_string_equal(member(o, "task_id"), "t1");
    assert_true(number(o, "attempt") == 3);
    assert_true(number(o, "d") == -0.25);
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(o, "inf")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(o, "none")));
    assert_int_equal(
        cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(o, "data")), 2);
    struct tm t = {0};
    const char *rest = strptime(member(o, "ts"), "%Y-%m-%dT%H:%M:%S", &t);
    assert_non_null(rest);
    assert_int_equal(rest[0], '.');
    assert_string_equal(rest + 4, "Z");
    int64_t ts = (int64_t)timegm(&t) * 1000 + strtol(rest + 1, NULL, 10);
    assert_true(ts >= before && ts <= after);
    cJSON_Delete(o);
    sink_release(&s);
}

static void json__of_any_bytes__is_one_valid_line(void **state)
{
    (void)state;
    struct sink s;
    uint64_t seed = 11;
    for (int round = 0; round < 50; round++) {
        lq_log *log = open_log(&s, LUNAQ_LOG_JSON);
        char bytes[200], key[8] = {0};
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)draw(&seed, 256);
        for (size_t i = 0; i + 1 < sizeof key; i++)
            key[i] = (char)(1 + draw(&seed, 255));
        const lq_field f = lq_fs(key, lq_str_n(bytes, sizeof bytes));
        lq_log_write(log, LUNAQ_LOG_INFO, lq_str_n(bytes, 100), &f, 1);
        lq_log_free(log);
        assert_int_equal(s.count, 1);
        assert_true(lq_utf8_valid(lq_buf_str(&s.lines)));
        cJSON *o = cJSON_Parse(s.lines.p);
        assert_non_null(o);
        assert_int_equal(cJSON_GetArraySize(o), 4);
        cJSON_Delete(o);
        sink_release(&s);
    }
}

/* ---- levels, queue, threads --------------------------------------------- */

static void level__below_the_limit__makes_no_record(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_TEXT);
    assert_false(lq_log_on(log, LUNAQ_LOG_DEBUG)); /* info by default */
    assert_true(lq_log_on(log, LUNAQ_LOG_INFO));
    LQ_LOG(log, DEBUG, "not this");
    lq_log_set_level(log, LUNAQ_LOG_DEBUG);
    LQ_LOG(log, DEBUG, "this");
    lq_log_set_level(log, LUNAQ_LOG_OFF);
    LQ_LOG(log, ERROR, "nor this");
    assert_false(lq_log_on(log, LUNAQ_LOG_OFF));
    assert_text(&s, log, "this");
}

static void no_log__is_fine(void **state)
{
    (void)state;
    assert_false(lq_log_on(NULL, LUNAQ_LOG_ERROR));
    lq_log_set_level(NULL, LUNAQ_LOG_DEBUG);
    lq_log_write(NULL, LUNAQ_LOG_ERROR, LQ_STR("x"), NULL, 0);
    LQ_LOG((lq_log *)NULL, ERROR, "x");
    lq_log_free(NULL);
}

#define MANY 60000

/* The sink stands still: logging goes on without waiting, the queue keeps what
 * came first, and the log counts what it lost. */
static void queue__is_full__drops_and_counts(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_JSON);
    pthread_mutex_lock(&s.mutex);
    s.blocked = true;
    pthread_mutex_unlock(&s.mutex);
    LQ_LOG(log, INFO, "first");
    pthread_mutex_lock(&s.mutex);
    while (!s.waiting)
        pthread_cond_wait(&s.changed, &s.mutex);
    pthread_mutex_unlock(&s.mutex);
    for (int i = 0; i < MANY; i++)
        LQ_LOG(log, INFO, "more", lq_fi("i", i));
    pthread_mutex_lock(&s.mutex);
    s.blocked = false;
    pthread_cond_broadcast(&s.changed);
    pthread_mutex_unlock(&s.mutex);
    lq_log_free(log);
    const char *count = strstr(s.lines.p, "\"dropped\":");
    assert_non_null(count);
    long long dropped = strtoll(count + 10, NULL, 10);
    assert_in_range(dropped, 1, MANY - 1);
    assert_int_equal(s.count, 1 + MANY - dropped + 1);
    sink_release(&s);
}

#define THREADS 4
#define EACH 2000

static void *log_many(void *arg)
{
    for (int i = 0; i < EACH; i++)
        LQ_LOG((lq_log *)arg, INFO, "line", lq_fi("i", i));
    return NULL;
}

static void many_threads__lose_nothing_while_there_is_room(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_TEXT);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, log), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    lq_log_free(log);
    assert_int_equal(s.count, THREADS * EACH);
    sink_release(&s);
}

/* Sends stderr into a pipe, logs, and gives back what arrived. */
static void log_to_stderr(char *text, size_t size, lunaq_log_format format)
{
    int fds[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(fds), 0);
    assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
    const lq_log_options o = {.format = format};
    lq_log *log = lq_log_new(&o);
    if (log) {
        LQ_LOG(log, WARN, "one");
        LQ_LOG(log, INFO, "two");
    }
    lq_log_free(log);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[1]);
    size_t len = 0;
    ssize_t n;
    while ((n = read(fds[0], text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = 0;
    close(fds[0]);
    assert_non_null(log);
}

static void stderr__gets_whole_lines(void **state)
{
    (void)state;
    char text[1000];
    unsetenv("JOURNAL_STREAM");
    log_to_stderr(text, sizeof text, LUNAQ_LOG_TEXT);
    assert_memory_equal(text + 12, "  warn  one\n", 12);
    assert_string_equal(text + 24 + 12, "  two\n");
}

static void stderr__that_is_no_terminal__gets_json(void **state)
{
    (void)state;
    char text[1000];
    log_to_stderr(text, sizeof text, LUNAQ_LOG_AUTO);
    assert_memory_equal(text, "{\"ts\":\"", 7);
}

static void journal__gets_syslog_priorities(void **state)
{
    (void)state;
    char text[1000];
    setenv("JOURNAL_STREAM", "8:12345", 1);
    log_to_stderr(text, sizeof text, LUNAQ_LOG_JSON);
    unsetenv("JOURNAL_STREAM");
    assert_memory_equal(text, "<4>{", 4);
    assert_non_null(strstr(text, "}\n<6>{"));
}

static void out_of_memory__drops_the_record_alone(void **state)
{
    (void)state;
    struct sink s;
    lq_log *log = open_log(&s, LUNAQ_LOG_TEXT);
    lq_alloc_fail_at(1, false);
    LQ_LOG(log, INFO, "lost");
    lq_alloc_fail_at(0, false);
    LQ_LOG(log, INFO, "kept");
    lq_log_free(log);
    assert_null(strstr(s.lines.p, "lost"));
    assert_non_null(strstr(s.lines.p, "kept\n"));
    assert_non_null(strstr(s.lines.p, "dropped=1\n"));
    sink_release(&s);
}

static void new__without_memory__is_null(void **state)
{
    (void)state;
    lq_alloc_fail_at(1, false);
    const lq_log_options o = {0};
    assert_null(lq_log_new(&o));
    lq_alloc_fail_at(0, false);
}

static void gate__opens_once_an_interval(void **state)
{
    (void)state;
    int64_t gate = 0, other = 0;
    assert_true(lq_log_gate(&gate, 1000000));
    assert_false(lq_log_gate(&gate, 1000000));
    assert_true(lq_log_gate(&other, 1000000));
    assert_true(lq_log_gate(&gate, 0));
    gate -= 1000; /* as if a second had passed */
    assert_true(lq_log_gate(&gate, 1000));
    assert_false(lq_log_gate(&gate, 1000));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text__of_a_task__has_type_and_short_id),
        cmocka_unit_test(text__of_a_later_attempt__says_which),
        cmocka_unit_test(text__of_an_attempt_of_so_many__says_both),
        cmocka_unit_test(text__without_a_task__has_no_columns),
        cmocka_unit_test(text__of_a_warning__says_so),
        cmocka_unit_test(text__values__are_quoted_when_they_must),
        cmocka_unit_test(text__control_characters_and_bad_utf8__are_escaped),
        cmocka_unit_test(text__a_very_long_value__is_cut),
        cmocka_unit_test(json__of_a_task__has_every_member),
        cmocka_unit_test(json__of_any_bytes__is_one_valid_line),
        cmocka_unit_test(level__below_the_limit__makes_no_record),
        cmocka_unit_test(no_log__is_fine),
        cmocka_unit_test(queue__is_full__drops_and_counts),
        cmocka_unit_test(many_threads__lose_nothing_while_there_is_room),
        cmocka_unit_test(stderr__gets_whole_lines),
        cmocka_unit_test(stderr__that_is_no_terminal__gets_json),
        cmocka_unit_test(journal__gets_syslog_priorities),
        cmocka_unit_test(out_of_memory__drops_the_record_alone),
        cmocka_unit_test(new__without_memory__is_null),
        cmocka_unit_test(gate__opens_once_an_interval),
    };
    return RUN_TESTS("log", tests, LQ_COUNT(tests));
}
