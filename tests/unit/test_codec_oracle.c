/* The codec beside protobuf-c: random messages both ways, and mutated bytes,
 * which both must take or refuse.
 *
 * protobuf-c is no authority where it differs from Go's parser, whom ours
 * follows; such bytes are recognised by odd() and left out: it does not check
 * UTF-8, refuses groups and known fields of another wire type, takes field
 * number 0 and overflowing varints, and limits tags and lengths to five bytes.
 */
#ifndef LQ_HAVE_PROTOBUF_C

#include <stdio.h>

int main(void)
{
    puts("skipped: protoc-c or libprotobuf-c is missing");
    return 77;
}

#else

#include "unit.h"

#include "asynq.pb-c.h"
#include "task/codec.h"

/* ---- random messages ---------------------------------------------------- */

/* What a drawn message's strings live in. */
static lq_arena arena;

static char *draw_string(uint64_t *seed)
{
    static const char *const pieces[] = {"a",
                                         "{",
                                         "\"",
                                         "email:send",
                                         "gr\xc3\xbc\xc3\x9f",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x8c\x99",
                                         "\n"};
    char text[400] = "";
    size_t count = draw(seed, 3) ? draw(seed, 30) : 0, len = 0;
    for (size_t i = 0; i < count; i++) {
        const char *piece = pieces[draw(seed, LQ_COUNT(pieces))];
        len += (size_t)snprintf(text + len, sizeof text - len, "%s", piece);
    }
    return lq_arena_dup(&arena, lq_str_c(text));
}

static ProtobufCBinaryData draw_bytes(uint64_t *seed)
{
    ProtobufCBinaryData d = {.len = draw(seed, 4) ? draw(seed, 300) : 0};
    d.data = lq_arena_alloc(&arena, d.len + 1);
    for (size_t i = 0; i < d.len; i++)
        d.data[i] = (uint8_t)draw(seed, 256);
    return d;
}

/* Small, large, and negative ones, and zero. */
static int64_t draw_int(uint64_t *seed)
{
    uint64_t v = draw(seed, UINT64_C(1) << 31) << 33 ^
                 draw(seed, UINT64_C(1) << 31) << 11 ^ draw(seed, 2048);
    return draw(seed, 5)
               ? (int64_t)(v >> draw(seed, 64)) * (draw(seed, 3) ? 1 : -1)
               : 0;
}

static Asynq__TaskMessage *draw_task(uint64_t *seed)
{
    Asynq__TaskMessage *m = lq_arena_alloc(&arena, sizeof *m);
    asynq__task_message__init(m);
    m->type = draw_string(seed);
    m->payload = draw_bytes(seed);
    m->id = draw_string(seed);
    m->queue = draw_string(seed);
    m->retry = (int32_t)draw_int(seed);
    m->retried = (int32_t)draw_int(seed);
    m->error_msg = draw_string(seed);
    m->timeout = draw_int(seed);
    m->deadline = draw_int(seed);
    m->unique_key = draw_string(seed);
    m->last_failed_at = draw_int(seed);
    m->retention = draw_int(seed);
    m->completed_at = draw_int(seed);
    m->group_key = draw_string(seed);
    m->n_headers = draw(seed, 3) ? 0 : draw(seed, 25);
    m->headers = lq_arena_alloc(&arena, (m->n_headers + 1) * sizeof(void *));
    for (size_t i = 0; i < m->n_headers; i++) {
        m->headers[i] = lq_arena_alloc(&arena, sizeof **m->headers);
        asynq__task_message__headers_entry__init(m->headers[i]);
        /* Distinct: protobuf-c keeps doubles, a map does not. */
        char key[40];
        snprintf(key, sizeof key, "%zu", i);
        m->headers[i]->key = lq_arena_dup(&arena, lq_str_c(key));
        m->headers[i]->value = draw_string(seed);
    }
    return m;
}

static lq_task ours(const Asynq__TaskMessage *m)
{
    lq_task t = {.type = lq_str_c(m->type),
                 .payload = lq_str_n(m->payload.data, m->payload.len),
                 .id = lq_str_c(m->id),
                 .queue = lq_str_c(m->queue),
                 .max_retry = m->retry,
                 .retried = m->retried,
                 .error_msg = lq_str_c(m->error_msg),
                 .timeout_s = m->timeout,
                 .deadline_s = m->deadline,
                 .unique_key = lq_str_c(m->unique_key),
                 .last_failed_s = m->last_failed_at,
                 .retention_s = m->retention,
                 .completed_s = m->completed_at,
                 .group_key = lq_str_c(m->group_key),
                 .header_count = m->n_headers};
    t.headers = lq_arena_alloc(&arena, (m->n_headers + 1) * sizeof *t.headers);
    for (size_t i = 0; i < m->n_headers; i++)
        t.headers[i] = (lq_header){lq_str_c(m->headers[i]->key),
                                   lq_str_c(m->headers[i]->value)};
    return t;
}

static bool same_task(const lq_task *a, const lq_task *b)
{
    if (a->header_count != b->header_count)
        return false;
    for (size_t i = 0; i < a->header_count; i++)
        if (!lq_str_eq(a->headers[i].key, b->headers[i].key) ||
            !lq_str_eq(a->headers[i].value, b->headers[i].value))
            return false;
    return lq_str_eq(a->type, b->type) && lq_str_eq(a->payload, b->payload) &&
           lq_str_eq(a->id, b->id) && lq_str_eq(a->queue, b->queue) &&
           a->max_retry == b->max_retry && a->retried == b->retried &&
           lq_str_eq(a->error_msg, b->error_msg) &&
           a->timeout_s == b->timeout_s && a->deadline_s == b->deadline_s &&
           lq_str_eq(a->unique_key, b->unique_key) &&
           a->last_failed_s == b->last_failed_s &&
           a->retention_s == b->retention_s &&
           a->completed_s == b->completed_s &&
           lq_str_eq(a->group_key, b->group_key);
}

/* Packed bytes at the end of their block, for the sanitizer's sake. */
static lq_str pack(const ProtobufCMessage *m)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = lq_malloc(len);
    assert_int_equal(protobuf_c_message_pack(m, bytes), len);
    return lq_str_n(bytes, len);
}

static void release(lq_str s)
{
    lq_free((void *)(uintptr_t)s.p);
}

static void random_tasks__are_the_same_both_ways(void **state)
{
    (void)state;
    uint64_t seed = 2;
    for (int round = 0; round < 20000; round++) {
        Asynq__TaskMessage *m = draw_task(&seed), *read;
        lq_task want = ours(m), t;
        lq_str theirs = pack(&m->base);
        assert_int_equal(lq_task_decode(&t, theirs, NULL), LUNAQ_OK);
        assert_true(same_task(&t, &want));
        assert_int_equal(t.unknown_count, 0);
        lq_task_release(&t);

        lq_buf b;
        lq_buf_init(&b, 0);
        lq_task_encode(&b, &want);
        read = asynq__task_message__unpack(NULL, b.len, (uint8_t *)b.p);
        assert_non_null(read);
        t = ours(read);
        assert_true(same_task(&t, &want));
        /* Both write fields in order of their numbers; only an empty value of
         * a header is written by us, as Go does, and left out by them. */
        bool empty_value = false;
        for (size_t i = 0; i < m->n_headers; i++)
            empty_value = empty_value || m->headers[i]->value[0] == 0;
        if (!empty_value)
            assert_true(lq_str_eq(lq_buf_str(&b), theirs));
        asynq__task_message__free_unpacked(read, NULL);
        lq_buf_release(&b);
        release(theirs);
        lq_arena_release(&arena);
    }
}

static Asynq__Timestamp *draw_time(uint64_t *seed, int64_t *ms)
{
    Asynq__Timestamp *t = lq_arena_alloc(&arena, sizeof *t);
    asynq__timestamp__init(t);
    *ms = draw(seed, 4) ? (int64_t)draw(seed, UINT64_C(1) << 31) * 1000 +
                              (int64_t)draw(seed, 1000)
                        : 0;
    t->seconds = *ms ? *ms / 1000 : INT64_C(-62135596800);
    t->nanos = (int32_t)(*ms % 1000 * 1000000);
    return t;
}

static void random_servers__are_the_same_both_ways(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 5000; round++) {
        Asynq__ServerInfo m;
        asynq__server_info__init(&m);
        lq_server_msg want = {0}, back;
        struct lq_queue_prio prios[20];
        Asynq__ServerInfo__QueuesEntry entries[20], *queues[20];
        want.host = lq_str_c(m.host = draw_string(&seed));
        want.pid = m.pid = (int32_t)draw_int(&seed);
        want.server_id = lq_str_c(m.server_id = draw_string(&seed));
        want.concurrency = m.concurrency = (int32_t)draw_int(&seed);
        m.strict_priority = (int)draw(&seed, 2);
        want.strict = m.strict_priority == 1;
        want.status = lq_str_c(m.status = draw_string(&seed));
        m.start_time = draw_time(&seed, &want.start_ms);
        want.active_worker_count = m.active_worker_count =
            (int32_t)draw_int(&seed);
        want.queue_count = m.n_queues = draw(&seed, 20);
        want.queues = prios;
        m.queues = queues;
        for (size_t i = 0; i < m.n_queues; i++) {
            char key[400];
            snprintf(key, sizeof key, "%zu%s", i, draw_string(&seed));
            asynq__server_info__queues_entry__init(&entries[i]);
            entries[i].key = lq_arena_dup(&arena, lq_str_c(key));
            entries[i].value = 1 + (int32_t)draw(&seed, 10);
            prios[i] = (struct lq_queue_prio){lq_str_c(entries[i].key),
                                              entries[i].value};
            queues[i] = &entries[i];
        }
        lq_str theirs = pack(&m.base);
        lq_buf b;
        lq_buf_init(&b, 0);
        lq_server_encode(&b, &want);
        assert_true(lq_str_eq(lq_buf_str(&b), theirs));
        assert_int_equal(lq_server_decode(&back, theirs, NULL), LUNAQ_OK);
        assert_true(lq_str_eq(back.host, want.host) &&
                    lq_str_eq(back.server_id, want.server_id) &&
                    lq_str_eq(back.status, want.status));
        assert_true(
            back.pid == want.pid && back.concurrency == want.concurrency &&
            back.strict == want.strict && back.start_ms == want.start_ms &&
            back.active_worker_count == want.active_worker_count);
        assert_int_equal(back.queue_count, want.queue_count);
        for (size_t i = 0; i < back.queue_count; i++)
            assert_true(lq_str_eq(back.queues[i].name, prios[i].name) &&
                        back.queues[i].weight == prios[i].weight);
        lq_free((void *)(uintptr_t)back.queues);
        lq_buf_release(&b);
        release(theirs);
        lq_arena_release(&arena);
    }
}

static void random_workers__are_the_same_both_ways(void **state)
{
    (void)state;
    uint64_t seed = 4;
    for (int round = 0; round < 5000; round++) {
        Asynq__WorkerInfo m;
        asynq__worker_info__init(&m);
        lq_worker_msg want = {0}, back;
        want.host = lq_str_c(m.host = draw_string(&seed));
        want.pid = m.pid = (int32_t)draw_int(&seed);
        want.server_id = lq_str_c(m.server_id = draw_string(&seed));
        want.task_id = lq_str_c(m.task_id = draw_string(&seed));
        want.type = lq_str_c(m.task_type = draw_string(&seed));
        m.task_payload = draw_bytes(&seed);
        want.payload = lq_str_n(m.task_payload.data, m.task_payload.len);
        want.queue = lq_str_c(m.queue = draw_string(&seed));
        m.start_time = draw_time(&seed, &want.start_ms);
        m.deadline = draw_time(&seed, &want.deadline_ms);
        lq_str theirs = pack(&m.base);
        lq_buf b;
        lq_buf_init(&b, 0);
        lq_worker_encode(&b, &want);
        assert_true(lq_str_eq(lq_buf_str(&b), theirs));
        assert_int_equal(lq_worker_decode(&back, theirs, NULL), LUNAQ_OK);
        assert_true(lq_str_eq(back.host, want.host) &&
                    lq_str_eq(back.server_id, want.server_id) &&
                    lq_str_eq(back.task_id, want.task_id) &&
                    lq_str_eq(back.type, want.type) &&
                    lq_str_eq(back.payload, want.payload) &&
                    lq_str_eq(back.queue, want.queue));
        assert_true(back.pid == want.pid && back.start_ms == want.start_ms &&
                    back.deadline_ms == want.deadline_ms);
        lq_buf_release(&b);
        release(theirs);
        lq_arena_release(&arena);
    }
}

static void random_cron_entries__are_the_same_both_ways(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int round = 0; round < 5000; round++) {
        Asynq__SchedulerEntry m;
        asynq__scheduler_entry__init(&m);
        lq_cron_msg want = {0}, back;
        lq_str options[6];
        char *texts[6];
        want.id = lq_str_c(m.id = draw_string(&seed));
        want.spec = lq_str_c(m.spec = draw_string(&seed));
        want.type = lq_str_c(m.task_type = draw_string(&seed));
        m.task_payload = draw_bytes(&seed);
        want.payload = lq_str_n(m.task_payload.data, m.task_payload.len);
        m.next_enqueue_time = draw_time(&seed, &want.next_ms);
        m.prev_enqueue_time = draw_time(&seed, &want.prev_ms);
        want.option_count = m.n_enqueue_options = draw(&seed, 6);
        want.options = options;
        m.enqueue_options = texts;
        for (size_t i = 0; i < m.n_enqueue_options; i++) {
            char text[420];
            snprintf(text, sizeof text, "Queue(%s)", draw_string(&seed));
            texts[i] = lq_arena_dup(&arena, lq_str_c(text));
            options[i] = lq_str_c(texts[i]);
        }
        lq_str theirs = pack(&m.base);
        lq_buf b;
        lq_buf_init(&b, 0);
        lq_cron_encode(&b, &want);
        assert_true(lq_str_eq(lq_buf_str(&b), theirs));
        assert_int_equal(lq_cron_decode(&back, theirs, NULL), LUNAQ_OK);
        assert_true(
            lq_str_eq(back.id, want.id) && lq_str_eq(back.spec, want.spec) &&
            lq_str_eq(back.type, want.type) &&
            lq_str_eq(back.payload, want.payload) &&
            back.next_ms == want.next_ms && back.prev_ms == want.prev_ms);
        assert_int_equal(back.option_count, want.option_count);
        for (size_t i = 0; i < back.option_count; i++)
            assert_true(lq_str_eq(back.options[i], options[i]));
        lq_free((void *)(uintptr_t)back.options);
        lq_buf_release(&b);
        release(theirs);
        lq_arena_release(&arena);
    }
}

/* ---- mutated bytes ------------------------------------------------------ */

struct walk {
    const uint8_t *p, *end;
    bool odd;
};

/* A varint of at most five bytes is what both agree on for tags and lengths;
 * one of ten whose last byte holds one bit, for values. */
static bool walk_varint(struct walk *w, size_t usual, uint64_t *value)
{
    uint64_t v = 0;
    for (size_t i = 0; w->p < w->end && i < 10; i++) {
        uint8_t byte = *w->p++;
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (i >= usual || (i == 9 && byte > 1) ||
            (i == 4 && usual == 5 && byte > 0x0f))
            w->odd = true;
        if (byte < 0x80) {
            *value = v;
            return true;
        }
    }
    return false; /* cut or too long: both refuse */
}

/* True when the bytes hold something about which the two parsers differ by
 * design.  Stops at the first fault that both see.  entry: inside a header. */
static bool odd(lq_str bytes, bool entry)
{
    static const char types[16] = {9, 2, 2, 2, 2, 0, 0, 2,
                                   0, 0, 2, 0, 0, 0, 2, 2};
    struct walk w = {.p = (const uint8_t *)bytes.p,
                     .end = (const uint8_t *)bytes.p + bytes.len};
    while (w.p < w.end && !w.odd) {
        uint64_t tag, len;
        if (!walk_varint(&w, 5, &tag))
            break;
        uint64_t number = tag >> 3, type = tag & 7;
        bool known = number >= 1 && number <= (entry ? 2 : 15);
        if (number == 0 || number >= 1u << 29 || type == 3 || type == 4 ||
            (known && type != (entry ? 2 : (uint64_t)types[number])))
            return true;
        if (type == 0) {
            if (!walk_varint(&w, 10, &len))
                break;
        } else if (type == 1 || type == 5) {
            size_t size = type == 1 ? 8 : 4;
            if ((size_t)(w.end - w.p) < size)
                break;
            w.p += size;
        } else if (type == 2) {
            if (!walk_varint(&w, 5, &len) || len > (uint64_t)(w.end - w.p))
                break;
            lq_str inner = lq_str_n(w.p, (size_t)len);
            if (known && !entry && number == 15) {
                if (odd(inner, true))
                    return true;
            } else if (known && (entry || number != 2) &&
                       !lq_utf8_valid(inner)) {
                return true;
            }
            w.p += len;
        } else {
            break;
        }
    }
    return w.odd;
}

static void mutated_tasks__are_taken_or_refused_by_both(void **state)
{
    (void)state;
    uint64_t seed = 6;
    int compared = 0, taken = 0, refused = 0;
    for (int round = 0; round < 200000; round++) {
        Asynq__TaskMessage *m = draw_task(&seed);
        lq_str packed = pack(&m->base);
        size_t len = packed.len;
        if (len > 0 && draw(&seed, 2))
            len = 1 + draw(&seed, len); /* cut */
        uint8_t *bytes = lq_malloc(len);
        if (len)
            memcpy(bytes, packed.p, len);
        for (uint64_t i = draw(&seed, 4); i > 0 && len > 0; i--) {
            size_t at = draw(&seed, 3) ? draw(&seed, len < 24 ? len : 24)
                                       : draw(&seed, len);
            if (draw(&seed, 2))
                bytes[at] = (uint8_t)draw(&seed, 256);
            else
                bytes[at] ^= (uint8_t)(1u << draw(&seed, 8));
        }
        lq_str mutated = lq_str_n(bytes, len);
        lq_task t;
        lunaq_error err = LUNAQ_ERROR_INIT;
        bool we = lq_task_decode(&t, mutated, &err) == LUNAQ_OK;
        if (!odd(mutated, false)) {
            Asynq__TaskMessage *read =
                asynq__task_message__unpack(NULL, len, bytes);
            if (we != (read != NULL))
                fail_msg("round %d: we say \"%s\", protobuf-c differs", round,
                         err.message);
            compared++;
            *(we ? &taken : &refused) += 1;
            if (read) {
                /* The fields, too; doubled headers are theirs to keep. */
                lq_task theirs = ours(read);
                if (theirs.header_count != t.header_count)
                    theirs.header_count = t.header_count = 0;
                /* C strings end at a NUL that a mutation may have made. */
                if (!memchr(bytes, 0, len))
                    assert_true(same_task(&theirs, &t));
                asynq__task_message__free_unpacked(read, NULL);
            }
        }
        lq_task_release(&t);
        lq_free(bytes);
        release(packed);
        lq_arena_release(&arena);
    }
    assert_true(compared > 50000 && taken > 10000 && refused > 10000);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_tasks__are_the_same_both_ways),
        cmocka_unit_test(random_servers__are_the_same_both_ways),
        cmocka_unit_test(random_workers__are_the_same_both_ways),
        cmocka_unit_test(random_cron_entries__are_the_same_both_ways),
        cmocka_unit_test(mutated_tasks__are_taken_or_refused_by_both),
    };
    return RUN_TESTS("codec beside protobuf-c", tests, LQ_COUNT(tests));
}

#endif
