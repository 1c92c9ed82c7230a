#include <lunaq/lunaq.h>
#include <stdio.h>

int main(void)
{
    lunaq_client *client = NULL;
    lunaq_task task = LUNAQ_TASK_INIT;
    lunaq_enqueued result;
    lunaq_error err = LUNAQ_ERROR_INIT;
    task.type = "hello";
    int rc = lunaq_client_open(&client, NULL, &err);
    if (!rc)
        rc = lunaq_client_enqueue(client, &task, &result, &err);
    puts(rc ? err.message : result.id);
    lunaq_client_close(client);
    return rc;
}
