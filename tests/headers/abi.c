/* What callers rely on in the public headers; compiled, never run, as C11 and
 * as C++17, with every warning an error.
 *
 * A struct that begins with its size must end full: a field appended later
 * would hide in tail padding, and the size could not tell that it is there.
 */
#include <lunaq/lunaq.h>
#include <lunaq/server.h>

#ifndef __cplusplus
#include <assert.h> /* static_assert */
#endif

#define ENDS_FULL(type, last)                                                  \
    static_assert(sizeof(type) ==                                              \
                      offsetof(type, last) + sizeof(((type *)0)->last),        \
                  #type " ends in padding, or not in " #last);                 \
    static_assert(offsetof(type, size) == 0, #type " begins with its size")

ENDS_FULL(lunaq_client_options, redis);
ENDS_FULL(lunaq_redis_options, insecure);
ENDS_FULL(lunaq_task, durable);
ENDS_FULL(lunaq_task_info, archived_at);
ENDS_FULL(lunaq_task_query, page_size);
ENDS_FULL(lunaq_queue_info, error);
ENDS_FULL(lunaq_server_info, remote_control);
ENDS_FULL(lunaq_cron_info, servers);
ENDS_FULL(lunaq_cron_event, at);
ENDS_FULL(lunaq_handler_info, concurrency);
ENDS_FULL(lunaq_group_info, failures);
ENDS_FULL(lunaq_broker_move_options, ud);
ENDS_FULL(lunaq_broker_moved, added);
ENDS_FULL(lunaq_task_filter, state);
ENDS_FULL(lunaq_fault, repaired);
ENDS_FULL(lunaq_finding, cure);
ENDS_FULL(lunaq_node, master);
ENDS_FULL(lunaq_check_options, ud);
ENDS_FULL(lunaq_checked, repaired);
ENDS_FULL(lunaq_cron_entry, missed);
ENDS_FULL(lunaq_cron_tick, code);
ENDS_FULL(lunaq_cron_hooks, provide_every_ms);
ENDS_FULL(lunaq_server_options, durable);
ENDS_FULL(lunaq_queue_options, group_max_size);
ENDS_FULL(lunaq_handler_options, timeout_ms);
ENDS_FULL(lunaq_server_hooks, context);

/* Frozen: it has no size that could tell. */
static_assert(sizeof(lunaq_error) == sizeof(int) + 256,
              "lunaq_error is frozen");

/* The numbers of the codes, too. */
static_assert(LUNAQ_OK == 0 && LUNAQ_ENOMEM == 1 && LUNAQ_EINVAL == 2 &&
                  LUNAQ_EEXIST == 5 && LUNAQ_ELEASE == 7 &&
                  LUNAQ_EAMBIGUOUS == 20,
              "error codes are never renumbered");
/* Asynq's. */
static_assert(LUNAQ_ACTIVE == 1 && LUNAQ_PENDING == 2 && LUNAQ_SCHEDULED == 3 &&
                  LUNAQ_RETRY == 4 && LUNAQ_ARCHIVED == 5 &&
                  LUNAQ_COMPLETED == 6 && LUNAQ_AGGREGATING == 7,
              "states are never renumbered");

/* The initialisers name every field, or -Wextra complains about the rest. */
size_t lunaq_test_initialisers(void);
size_t lunaq_test_initialisers(void)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_client_options client = LUNAQ_CLIENT_OPTIONS_INIT;
    lunaq_redis_options redis = LUNAQ_REDIS_OPTIONS_INIT;
    lunaq_task task = LUNAQ_TASK_INIT;
    lunaq_task_query query = LUNAQ_TASK_QUERY_INIT;
    lunaq_cron_entry entry = LUNAQ_CRON_ENTRY_INIT;
    lunaq_broker_move_options move = LUNAQ_BROKER_MOVE_OPTIONS_INIT;
    lunaq_server_options server = LUNAQ_SERVER_OPTIONS_INIT;
    lunaq_queue_options queue = LUNAQ_QUEUE_OPTIONS_INIT;
    lunaq_handler_options handler = LUNAQ_HANDLER_OPTIONS_INIT;
    lunaq_server_hooks hooks = LUNAQ_SERVER_HOOKS_INIT;
    return (size_t)err.code + client.size + redis.size + task.size +
           query.size + entry.size + entry.task.size + move.size + server.size +
           queue.size + handler.size + hooks.size;
}
