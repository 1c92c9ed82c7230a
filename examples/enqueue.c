/* enqueue: the smallest producer.
 *
 *     enqueue session:process '{"session_id":"…"}' [queue]
 *
 * The broker is that of LUNAQ_BROKER, REDIS_URL or REDIS_ADDR, else the queue
 * file that lunaqd has made in this folder. */
#include <stdio.h>
#include <string.h>

#include <lunaq/lunaq.h>

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: enqueue type payload [queue]\n");
        return 2;
    }
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_client *client = NULL;
    int rc = lunaq_client_open(&client, NULL, &err);
    if (rc)
        goto out;

    lunaq_task task = LUNAQ_TASK_INIT;
    task.type = argv[1];
    task.payload = argv[2];
    task.payload_len = strlen(argv[2]);
    task.queue = argc > 3 ? argv[3] : NULL;
    lunaq_enqueued enqueued;
    rc = lunaq_client_enqueue(client, &task, &enqueued, &err);
    if (rc == LUNAQ_OK)
        puts(enqueued.id);
out:
    if (rc)
        fprintf(stderr, "enqueue: %s\n", err.message);
    lunaq_client_close(client);
    return rc ? 1 : 0;
}
