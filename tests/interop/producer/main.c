/* A producer in C, for the tests against Asynq.
 *
 *     producer URL many QUEUE PREFIX FIRST COUNT   tasks fleet:work, by
 * hundreds producer URL unique QUEUE TYPE [HEX]         one with a lock; its
 * payload
 *
 * A payload that is not given is NULL, "" is an empty one. */
#include <lunaq/lunaq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 100 };

static int many(lunaq_client *client, char **argv, lunaq_error *err)
{
    char ids[BATCH][64], payloads[BATCH][64];
    lunaq_task tasks[BATCH];
    lunaq_enqueued results[BATCH];
    long first = strtol(argv[2], NULL, 10),
         end = first + strtol(argv[3], NULL, 10);
    while (first < end) {
        size_t n = 0;
        for (; n < BATCH && first < end; n++, first++) {
            tasks[n] = (lunaq_task)LUNAQ_TASK_INIT;
            snprintf(ids[n], sizeof ids[n], "%s%ld", argv[1], first);
            snprintf(payloads[n], sizeof payloads[n], "{\"n\":%ld}", first);
            tasks[n].type = "fleet:work";
            tasks[n].queue = argv[0];
            tasks[n].task_id = ids[n];
            tasks[n].payload = payloads[n];
            tasks[n].payload_len = strlen(payloads[n]);
            tasks[n].retention_ms = 3600000;
        }
        int rc = lunaq_client_enqueue_many(client, tasks, n, results, err);
        if (rc)
            return rc;
    }
    return LUNAQ_OK;
}

/* Bytes of pairs of hex digits. */
static size_t unhex(unsigned char *out, size_t size, const char *text)
{
    size_t n = 0;
    for (; n < size && text[2 * n] && text[2 * n + 1]; n++) {
        const char digits[] = {text[2 * n], text[2 * n + 1], 0};
        out[n] = (unsigned char)strtoul(digits, NULL, 16);
    }
    return n;
}

static int with_lock(lunaq_client *client, int argc, char **argv,
                     lunaq_error *err)
{
    unsigned char payload[256];
    lunaq_task task = LUNAQ_TASK_INIT;
    task.queue = argv[0];
    task.type = argv[1];
    task.unique_ms = 3600000;
    if (argc > 2) {
        task.payload = payload;
        task.payload_len = unhex(payload, sizeof payload, argv[2]);
    }
    return lunaq_client_enqueue(client, &task, NULL, err);
}

int main(int argc, char **argv)
{
    lunaq_client *client = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_client_options options = LUNAQ_CLIENT_OPTIONS_INIT;
    int rc = LUNAQ_EINVAL;
    if (argc < 5)
        goto out;
    options.broker = argv[1];
    rc = lunaq_client_open(&client, &options, &err);
    if (rc)
        goto out;
    if (!strcmp(argv[2], "many") && argc == 7)
        rc = many(client, argv + 3, &err);
    else if (!strcmp(argv[2], "unique"))
        rc = with_lock(client, argc - 3, argv + 3, &err);
    else
        rc = LUNAQ_EINVAL;
out:
    if (rc)
        fprintf(stderr, "producer: %s: %s\n", lunaq_strerror(rc), err.message);
    lunaq_client_close(client);
    return rc == LUNAQ_EDUPLICATE ? 3 : rc ? 1 : 0;
}
