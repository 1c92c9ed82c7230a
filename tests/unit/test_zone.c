/* Time zones: every zone of the system beside the C library's own reader, the
 * rules at the end of files, broken files, and names that are none. */
#include "unit.h"

#include "base/buf.h"
#include "support/temp_folder.h"
#include "task/cron.h"
#include "task/zone_file.h"

#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOLDER "/usr/share/zoneinfo"
#define FROM_S INT64_C(-2019686400) /* 1906 */
#define TO_S INT64_C(7400000000)    /* 2204 */
#define DRAWS 1500

/* ---- beside the C library ------------------------------------------------ */

static char names[2000][64];
static size_t name_count;

static int add_name(const char *path, const struct stat *st, int kind,
                    struct FTW *at)
{
    (void)st;
    (void)at;
    const char *name = path + strlen(FOLDER) + 1;
    if (kind != FTW_F || name_count == LQ_COUNT(names) ||
        strlen(name) >= sizeof names[0] || strncmp(name, "right/", 6) == 0 ||
        strncmp(name, "posix/", 6) == 0)
        return 0;
    char magic[4] = "";
    FILE *f = fopen(path, "rb");
    if (f && fread(magic, 1, 4, f) == 4 && memcmp(magic, "TZif", 4) == 0)
        snprintf(names[name_count++], sizeof names[0], "%s", name);
    if (f)
        fclose(f);
    return 0;
}

struct oracle {
    const char *name;
    const lq_zone *zone;
    int64_t checks;
};

static bool agrees(struct oracle *o, int64_t s)
{
    time_t clock = (time_t)s;
    struct tm t;
    lq_zone_span span = lq_zone_at(o->zone, s);
    o->checks++;
    if (span.start > s || span.end <= s || !localtime_r(&clock, &t)) {
        fprintf(stderr, "%s at %lld: a span without it\n", o->name,
                (long long)s);
        return false;
    }
    if (t.tm_gmtoff == span.offset_s && (t.tm_isdst > 0) == span.dst)
        return true;
    fprintf(stderr, "%s at %lld: %d%s, the C library says %ld%s\n", o->name,
            (long long)s, span.offset_s, span.dst ? " dst" : "", t.tm_gmtoff,
            t.tm_isdst ? " dst" : "");
    return false;
}

/* The whole of one zone, in a process that has it as its own. */
static bool compare(struct oracle *o)
{
    uint64_t seed = 11;
    char tz[80];
    snprintf(tz, sizeof tz, ":%s", o->name);
    setenv("TZ", tz, 1);
    tzset();
    for (int64_t s = FROM_S; s < TO_S;) {
        lq_zone_span span = lq_zone_at(o->zone, s);
        int64_t end = span.end < TO_S ? span.end : TO_S;
        if (end <= s || !agrees(o, s) || !agrees(o, s + 1) ||
            !agrees(o, end - 1) || !agrees(o, s + (end - s) / 2))
            return false;
        s = end;
    }
    for (int i = 0; i < DRAWS; i++)
        if (!agrees(o, FROM_S + (int64_t)draw(&seed, (uint64_t)1 << 31) * 4 +
                           (int64_t)draw(&seed, 4)))
            return false;
    return true;
}

static void every_zone__of_the_system__agrees_with_the_c_library(void **state)
{
    (void)state;
    nftw(FOLDER, add_name, 16, FTW_PHYS);
    if (name_count == 0) {
        print_message("skipped: no zones in %s: install tzdata\n", FOLDER);
        skip();
    }
    int64_t checks = 0;
    lq_zones zones = {0};
    for (size_t i = 0; i < name_count; i++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        struct oracle o = {.name = names[i]};
        int ends[2], status;
        if (lq_zones_get(&zones, lq_str_c(names[i]), &o.zone, &err))
            fail_msg("%s", err.message);
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            bool ok =
                compare(&o) && write(ends[1], &o.checks, sizeof o.checks) > 0;
            _exit(ok ? 0 : 1);
        }
        close(ends[1]);
        int64_t done = 0;
        ssize_t n = read(ends[0], &done, sizeof done);
        close(ends[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status != 0 || n != sizeof done || done < DRAWS)
            fail_msg("%s differs", names[i]);
        checks += done;
    }
    lq_zones_release(&zones);
    print_message("%zu zones, %lld instants\n", name_count, (long long)checks);
}

/* ---- rules --------------------------------------------------------------- */

struct rule_row {
    const char *name, *rule;
    int64_t at;
    int32_t offset_s;
    bool dst;
    const char *fault; /* NULL: it is none */
};

static const struct rule_row rule_rows[] = {
    {"rule__without_summer", "<-03>3", 0, -10800, false, NULL},
    {"rule__east_of_utc", "IST-5:30", 0, 19800, false, NULL},
    {"rule__winter", "CET-1CEST,M3.5.0,M10.5.0/3", 1774745999, 3600, false,
     NULL},
    {"rule__summer", "CET-1CEST,M3.5.0,M10.5.0/3", 1774746000, 7200, true,
     NULL},
    {"rule__last_second_of_summer", "CET-1CEST,M3.5.0,M10.5.0/3", 1792889999,
     7200, true, NULL},
    {"rule__winter_again", "CET-1CEST,M3.5.0,M10.5.0/3", 1792890000, 3600,
     false, NULL},
    {"rule__south__summer_over_new_year", "AEST-10AEDT,M10.1.0,M4.1.0/3",
     1767225600, 39600, true, NULL},
    /* Ireland, where winter is the one that is named. */
    {"rule__negative_summer", "IST-1GMT0,M10.5.0,M3.5.0/1", 1767225600, 0, true,
     NULL},
    /* Nuuk: the evening before the last Sunday. */
    {"rule__negative_time", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1774745999,
     -7200, false, NULL},
    {"rule__negative_time__summer", "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
     1774746000, -3600, true, NULL},
    {"rule__over_a_day", "<+02>-2<+03>,M3.4.4/50,M10.4.4/50", 1774656000, 10800,
     true, NULL},
    {"rule__always_summer__at_new_year", "EST5EDT,0/0,J365/25", 1767243600,
     -14400, true, NULL},
    {"rule__always_summer__in_winter", "EST5EDT,0/0,J365/25", 1767243599,
     -14400, true, NULL},
    {"rule__julian_day_60__skips_the_leap_day", "AAA0BBB,J60/0,J300/0",
     1709251200, 3600, true, NULL},
    {"rule__day_59__counts_the_leap_day", "AAA0BBB,59/0,300/0", 1709164800,
     3600, true, NULL},
    {"refused__no_name", "5EST", 0, 0, false, "name of its standard"},
    {"refused__short_name", "AB3", 0, 0, false, "name of its standard"},
    {"refused__open_name", "<-03", 0, 0, false, "name of its standard"},
    {"refused__no_offset", "CET", 0, 0, false, "no offset"},
    {"refused__offset_25", "CET-25", 0, 0, false, "no offset"},
    {"refused__no_changes", "CET-1CEST", 0, 0, false, "when summer"},
    {"refused__one_change", "CET-1CEST,M3.5.0", 0, 0, false, "when summer"},
    {"refused__month_13", "CET-1CEST,M13.5.0,M10.5.0", 0, 0, false,
     "when summer"},
    {"refused__week_6", "CET-1CEST,M3.6.0,M10.5.0", 0, 0, false, "when summer"},
    {"refused__weekday_7", "CET-1CEST,M3.5.7,M10.5.0", 0, 0, false,
     "when summer"},
    {"refused__day_366", "CET-1CEST,366,J1", 0, 0, false, "when summer"},
    {"refused__J0", "CET-1CEST,J0,J1", 0, 0, false, "when summer"},
    {"refused__168_hours", "CET-1CEST,M3.5.0/168,M10.5.0", 0, 0, false,
     "when summer"},
    {"refused__more_behind", "CET-1CEST,M3.5.0,M10.5.0,", 0, 0, false,
     "behind its end"},
    {"refused__empty", "", 0, 0, false, "name of its standard"},
};

static void test_rule(void **state)
{
    const struct rule_row *row = *state;
    lq_zone_rule rule;
    const char *why = lq_zone_rule_parse(&rule, lq_str_c(row->rule));
    if (row->fault) {
        assert_non_null(why);
        assert_non_null(strstr(why, row->fault));
        return;
    }
    assert_null(why);
    lq_zone_span span = lq_zone_rule_at(&rule, row->at);
    assert_int_equal(span.offset_s, row->offset_s);
    assert_int_equal(span.dst, row->dst);
    assert_true(span.start <= row->at && row->at < span.end);
}

/* ---- files --------------------------------------------------------------- */

static void add_u32(lq_buf *b, uint32_t v)
{
    char bytes[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    lq_buf_add(b, bytes, 4);
}

struct file {
    char version;
    uint32_t isutc, isstd, leap, types, chars;
    uint32_t times;
    int32_t at[4];
    uint8_t to[4];
    int32_t offset;
    uint8_t flag, name;
    const char *footer;
};

static const struct file sound = {.version = '2',
                                  .types = 2,
                                  .chars = 4,
                                  .times = 2,
                                  .at = {100, 200},
                                  .to = {1, 0},
                                  .offset = 3600,
                                  .footer = "\nAAA0\n"};

static void add_block(lq_buf *b, const struct file *f, bool wide)
{
    lq_buf_add(b, "TZif", 4);
    lq_buf_add_char(b, f->version);
    for (int i = 0; i < 15; i++)
        lq_buf_add_char(b, 0);
    add_u32(b, f->isutc);
    add_u32(b, f->isstd);
    add_u32(b, f->leap);
    add_u32(b, f->times);
    add_u32(b, f->types);
    add_u32(b, f->chars);
    for (uint32_t i = 0; i < f->times; i++) {
        if (wide)
            add_u32(b, f->at[i] < 0 ? UINT32_MAX : 0);
        add_u32(b, (uint32_t)f->at[i]);
    }
    lq_buf_add(b, f->to, f->times);
    for (uint32_t i = 0; i < f->types && i < 2; i++) {
        add_u32(b, i ? (uint32_t)f->offset : 0);
        lq_buf_add_char(b, i ? (char)f->flag : 0);
        lq_buf_add_char(b, i ? (char)f->name : 0);
    }
    lq_buf_add(b, "AAA\0", f->chars < 4 ? f->chars : 4);
    for (uint32_t i = 0; i < f->leap; i++) {
        if (wide)
            add_u32(b, 0);
        add_u32(b, 100);
        add_u32(b, 1);
    }
    for (uint32_t i = 0; i < f->isstd + f->isutc; i++)
        lq_buf_add_char(b, 0);
}

static void make(lq_buf *b, const struct file *f)
{
    lq_buf_init(b, 0);
    add_block(b, f, false);
    if (f->version) {
        add_block(b, f, true);
        lq_buf_add_c(b, f->footer);
    }
}

static void check_sound(const struct file *f)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_zone *z = NULL;
    lq_buf b;
    make(&b, f);
    if (lq_zone_parse(&z, lq_buf_str(&b), &err))
        fail_msg("%s", err.message);
    assert_int_equal(lq_zone_at(z, 99).offset_s, 0);
    assert_int_equal(lq_zone_at(z, 100).offset_s, 3600);
    assert_int_equal(lq_zone_at(z, 199).offset_s, 3600);
    assert_true(lq_zone_at(z, 150).start == 100);
    assert_true(lq_zone_at(z, 150).end == 200);
    assert_int_equal(lq_zone_at(z, 200).offset_s, 0);
    assert_true(lq_zone_at(z, 300).end == INT64_MAX);
    lq_zone_free(z);
    lq_buf_release(&b);
}

static void file__of_every_version__is_read(void **state)
{
    (void)state;
    for (const char *v = "234"; *v; v++) {
        struct file f = sound;
        f.version = *v;
        check_sound(&f);
    }
    struct file first = sound;
    first.version = 0;
    check_sound(&first);
}

static void file__without_a_rule__keeps_its_last_offset(void **state)
{
    (void)state;
    struct file f = sound;
    f.footer = "\n\n";
    check_sound(&f);
}

static void refused(const struct file *f, const char *says)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_zone *z = NULL;
    lq_buf b;
    make(&b, f);
    assert_int_equal(lq_zone_parse(&z, lq_buf_str(&b), &err), LUNAQ_EINVAL);
    assert_null(z);
    if (!strstr(err.message, says))
        fail_msg("\"%s\" does not say \"%s\"", err.message, says);
    lq_buf_release(&b);
}

static void file__with_a_fault__is_refused(void **state)
{
    (void)state;
    struct file f;
#define REFUSED(says, ...) (f = sound, __VA_ARGS__, refused(&f, says))
    REFUSED("unknown version", f.version = '1');
    REFUSED("counts", f.types = 0);
    REFUSED("counts", f.types = 257);
    REFUSED("counts", f.chars = 0);
    REFUSED("counts", f.isutc = 1);
    REFUSED("counts", f.isstd = 3);
    REFUSED("cut off", f.types = 200);
    REFUSED("cut off", f.chars = UINT32_MAX);
    REFUSED("leap seconds", f.leap = 1);
    REFUSED("out of order", f.at[1] = 100);
    REFUSED("out of order", f.at[1] = -1);
    REFUSED("does not list", f.to[1] = 2);
    REFUSED("more than a day", f.offset = 93601);
    REFUSED("more than a day", f.offset = INT32_MIN);
    REFUSED("neither 0 nor 1", f.flag = 2);
    REFUSED("name outside", f.name = 4);
    REFUSED("cut off", f.footer = "");
    REFUSED("cut off", f.footer = "\nAAA0");
    REFUSED("cut off", f.footer = "AAA0\n");
    REFUSED("no offset", f.footer = "\nAAA\n");
#undef REFUSED
}

/* A change at that instant in the 64-bit block, from an offset of 0 to one of
 * f->offset. */
static void change_at(lq_buf *b, const struct file *f, int64_t at)
{
    make(b, f);
    char *wide = memmem(b->p + 1, b->len - 1, "TZif", 4);
    assert_non_null(wide);
    for (int i = 0; i < 8; i++)
        wide[44 + i] = (char)((uint64_t)at >> (56 - 8 * i));
}

static void file__with_a_change_before_all_time__is_refused(void **state)
{
    (void)state;
    static const int64_t ats[] = {INT64_MIN + 100, INT64_MIN, INT64_MAX - 100,
                                  INT64_MAX, (INT64_C(1) << 60) + 1};
    struct file f = sound;
    f.times = 1;
    f.offset = -3600;
    f.footer = "\n\n";
    for (size_t i = 0; i < LQ_COUNT(ats); i++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        lq_zone *z = NULL;
        lq_buf b;
        change_at(&b, &f, ats[i]);
        int rc = lq_zone_parse(&z, lq_buf_str(&b), &err);
        if (!rc) { /* what follows from one that was taken */
            lq_cron c;
            assert_int_equal(lq_cron_parse(&c, LQ_STR("30 2 * * *"), NULL), 0);
            c.zone = z;
            lq_cron_next_ms(&c, 0);
        }
        lq_zone_free(z);
        lq_buf_release(&b);
        assert_int_equal(rc, LUNAQ_EINVAL);
        assert_non_null(strstr(err.message, "out of range"));
    }
}

/* zic's first change, where it writes one for all that was before. */
static void file__with_the_big_bang__is_read(void **state)
{
    (void)state;
    struct file f = sound;
    f.times = 1;
    f.footer = "\n\n";
    lq_zone *z = NULL;
    lq_buf b;
    change_at(&b, &f, -(INT64_C(1) << 59));
    assert_int_equal(lq_zone_parse(&z, lq_buf_str(&b), NULL), LUNAQ_OK);
    assert_int_equal(lq_zone_at(z, 0).offset_s, 3600);
    lq_zone_free(z);
    lq_buf_release(&b);
}

static void file__cut_off_anywhere__is_refused(void **state)
{
    (void)state;
    lq_buf b;
    make(&b, &sound);
    for (size_t len = 0; len < b.len; len++) {
        lq_zone *z = NULL;
        char *copy = lq_malloc(len + 1); /* so that a sanitizer sees its end */
        memcpy(copy, b.p, len);
        assert_int_equal(lq_zone_parse(&z, lq_str_n(copy, len), NULL),
                         LUNAQ_EINVAL);
        lq_free(copy);
    }
    lq_buf_release(&b);
}

/* ---- names --------------------------------------------------------------- */

static void name__that_is_none__is_refused(void **state)
{
    (void)state;
    static const char *const none[] = {"../etc/passwd",
                                       "/etc/localtime",
                                       "Europe/../UTC",
                                       ".",
                                       "Europe/./Berlin",
                                       "Europe//Berlin",
                                       "Europe/",
                                       "Euro pe",
                                       "Europe/Berlín",
                                       "Europe/\n",
                                       "/",
                                       "..",
                                       "right\\UTC"};
    lq_zones zones = {0};
    const lq_zone *z;
    for (size_t i = 0; i < LQ_COUNT(none); i++) {
        lunaq_error err = LUNAQ_ERROR_INIT;
        assert_int_equal(lq_zones_get(&zones, lq_str_c(none[i]), &z, &err),
                         LUNAQ_EINVAL);
        assert_non_null(strstr(err.message, "not the name of a zone"));
    }
    lq_zones_release(&zones);
}

static void name__unknown__says_where_it_was_looked_for(void **state)
{
    (void)state;
    temp_folder folder;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lq_zones zones = {0};
    const lq_zone *z;
    assert_int_equal(temp_folder_make(&folder), 0);
    setenv("TZDIR", folder.path, 1);
    assert_int_equal(lq_zones_get(&zones, LQ_STR("Mars/Base"), &z, &err),
                     LUNAQ_EINVAL);
    assert_non_null(strstr(err.message, "Mars/Base"));
    assert_non_null(strstr(err.message, folder.path));
    temp_folder_remove(&folder);
    /* A slim image has no zones at all. */
    assert_int_equal(lq_zones_get(&zones, LQ_STR("Mars/Base"), &z, &err),
                     LUNAQ_EINVAL);
    assert_non_null(strstr(err.message, "tzdata"));
    /* UTC needs none. */
    assert_int_equal(lq_zones_get(&zones, LQ_STR("UTC"), &z, &err), LUNAQ_OK);
    assert_null(z);
    unsetenv("TZDIR");
    lq_zones_release(&zones);
}

static void name__in_tzdir__is_read_once_until_released(void **state)
{
    (void)state;
    temp_folder folder;
    char path[100];
    lq_zones zones = {0};
    const lq_zone *z, *again;
    lq_buf b;
    make(&b, &sound);
    assert_int_equal(temp_folder_make(&folder), 0);
    snprintf(path, sizeof path, "%s/Base", folder.path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.p, 1, b.len, f), b.len);
    fclose(f);
    setenv("TZDIR", folder.path, 1);
    assert_int_equal(lq_zones_get(&zones, LQ_STR("Base"), &z, NULL), LUNAQ_OK);
    assert_int_equal(lq_zone_at(z, 150).offset_s, 3600);
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(lq_zones_get(&zones, LQ_STR("Base"), &again, NULL),
                     LUNAQ_OK);
    assert_ptr_equal(z, again);
    lq_zones_release(&zones);
    assert_int_equal(lq_zones_get(&zones, LQ_STR("Base"), &z, NULL),
                     LUNAQ_EINVAL);
    unsetenv("TZDIR");
    temp_folder_remove(&folder);
    lq_zones_release(&zones);
    lq_buf_release(&b);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[60];
    size_t n = 0;
    ADD_ROWS(tests, n, rule_rows, test_rule);
    ADD_TEST(tests, n, file__of_every_version__is_read);
    ADD_TEST(tests, n, file__without_a_rule__keeps_its_last_offset);
    ADD_TEST(tests, n, file__with_a_fault__is_refused);
    ADD_TEST(tests, n, file__with_a_change_before_all_time__is_refused);
    ADD_TEST(tests, n, file__with_the_big_bang__is_read);
    ADD_TEST(tests, n, file__cut_off_anywhere__is_refused);
    ADD_TEST(tests, n, name__that_is_none__is_refused);
    ADD_TEST(tests, n, name__unknown__says_where_it_was_looked_for);
    ADD_TEST(tests, n, name__in_tzdir__is_read_once_until_released);
    ADD_TEST(tests, n, every_zone__of_the_system__agrees_with_the_c_library);
    return RUN_TESTS("zone", tests, n);
}
