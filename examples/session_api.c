/* session_api: a small HTTP API that records sessions and has them processed.
 *
 *     POST /api/v1/sessions                 a new session, recording
 *     POST /api/v1/sessions/{id}/visits     {"url": "https://…"}
 *     GET  /api/v1/sessions/{id}
 *     POST /api/v1/sessions/{id}/stop       enqueues session:process
 *     GET  /health
 *
 * A request writes to the database first and then enqueues; the worker does the
 * rest.  Answers and errors are JSON.  There is no login: listen on loopback,
 * or put something that has one in front.
 *
 * Environment: DATABASE_URL; and LUNAQ_BROKER, REDIS_URL or REDIS_ADDR. Without
 * them it uses the files that lunaqd has made below .lunaq/. */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <lunaq/lunaq.h>

#include "session_http.h"
#include "session_store.h"

/* A stop must not keep its caller waiting for a broker that is away. */
enum { BROKER_TIMEOUT_MS = 2000, URL_MAX = 2048 };

/* What lunaqd uses without a setting. */
#define DATABASE_FILE ".lunaq/app.db"
#define SESSIONS "/api/v1/sessions"

/* Used by the HTTP server's thread alone once that has started. */
struct api {
    struct store *store;
    lunaq_client *client;
};

static enum MHD_Result store_error(const struct http_request *request,
                                   enum store_result rc)
{
    switch (rc) {
    case STORE_NOT_FOUND:
        return http_error(request, MHD_HTTP_NOT_FOUND, "no such session");
    case STORE_NO_TABLES:
        return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE,
                          "the tables are missing: start lunaqd once, it "
                          "applies migrations/");
    case STORE_DOWN:
        return http_error(request, MHD_HTTP_SERVICE_UNAVAILABLE,
                          "the database cannot be reached; try again");
    default:
        return http_error(request, MHD_HTTP_INTERNAL_SERVER_ERROR,
                          "the database refused the statement; see the log");
    }
}

static enum MHD_Result conflict(const struct http_request *request,
                                const char *what, const char *status)
{
    char message[128];
    snprintf(message, sizeof message, "%s while the session is %s", what,
             status);
    return http_error(request, MHD_HTTP_CONFLICT, message);
}

static cJSON *session_json(const struct store_session *session)
{
    cJSON *json = cJSON_CreateObject();
    if (json && cJSON_AddStringToObject(json, "id", session->id) &&
        cJSON_AddStringToObject(json, "status", session->status) &&
        cJSON_AddStringToObject(json, "created_at", session->created_at) &&
        cJSON_AddStringToObject(json, "updated_at", session->updated_at))
        return json;
    cJSON_Delete(json);
    return NULL;
}

/* ---- routes ---------------------------------------------------------------
 */

static enum MHD_Result create_session(struct api *api,
                                      const struct http_request *request)
{
    struct store_session session = {0};
    enum store_result rc = store_create(api->store, &session);
    if (rc)
        return store_error(request, rc);
    return http_send(request, MHD_HTTP_CREATED, session_json(&session));
}

static enum MHD_Result show_session(struct api *api,
                                    const struct http_request *request,
                                    const char *id)
{
    struct store_session session = {0};
    enum store_result rc = store_show(api->store, id, &session);
    if (rc)
        return store_error(request, rc);
    cJSON *json = session_json(&session);
    if (json)
        cJSON_AddNumberToObject(json, "visits", (double)session.visits);
    return http_send(request, MHD_HTTP_OK, json);
}

/* The url of {"url": "https://…"}, or NULL and what is wrong with it.
 * Borrowed from json. */
static const char *parse_url(const cJSON *json, const char **wrong)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, "url");
    const char *url = cJSON_GetStringValue(item);
    *wrong = NULL;
    if (!url) {
        *wrong = "send a JSON object with a string \"url\"";
        return NULL;
    }
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        *wrong = "url must begin with http:// or https://";
    else if (strlen(url) > URL_MAX)
        *wrong = "url is longer than 2048 bytes";
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
            *wrong = "url must be ASCII without spaces; escape the rest by %";
    return *wrong ? NULL : url;
}

static enum MHD_Result
add_visit(struct api *api, const struct http_request *request, const char *id)
{
    enum MHD_Result sent;
    const char *wrong = NULL;
    /* A NUL inside the body would hide what follows it. */
    bool whole = memchr(request->body, '\0', request->body_len) == NULL;
    cJSON *json = whole ? cJSON_ParseWithOpts(request->body, NULL, 1) : NULL;
    if (!json) {
        sent = http_error(request, MHD_HTTP_BAD_REQUEST,
                          "the body is not valid JSON");
        goto out;
    }
    const char *url = parse_url(json, &wrong);
    if (!url) {
        sent = http_error(request, MHD_HTTP_BAD_REQUEST, wrong);
        goto out;
    }
    struct store_session session = {0};
    enum store_result rc = store_visit(api->store, id, url, &session);
    if (rc == STORE_CONFLICT)
        sent = conflict(request, "a visit cannot be added", session.status);
    else if (rc)
        sent = store_error(request, rc);
    else
        sent = http_send(request, MHD_HTTP_CREATED, cJSON_Duplicate(json, 1));
out:
    cJSON_Delete(json);
    return sent;
}

static bool enqueue_processing(struct api *api, const char *id,
                               lunaq_enqueued *enqueued)
{
    char payload[STORE_ID_SIZE + 32];
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_task task = LUNAQ_TASK_INIT;
    task.type = "session:process";
    task.payload = payload;
    task.payload_len = (size_t)snprintf(payload, sizeof payload,
                                        "{\"session_id\":\"%s\"}", id);
    task.max_retry = 3;
    if (lunaq_client_enqueue(api->client, &task, enqueued, &err) == LUNAQ_OK)
        return true;
    fprintf(stderr, "session_api: session %s is stopped but not enqueued: %s\n",
            id, err.message);
    return false;
}

/* The session is stopped once the database says so.  A broker that is away
 * does not undo that: stopping again enqueues it. */
static enum MHD_Result stop_session(struct api *api,
                                    const struct http_request *request,
                                    const char *id)
{
    struct store_session session = {0};
    lunaq_enqueued enqueued = {0};
    enum store_result rc = store_stop(api->store, id, &session);
    if (rc == STORE_CONFLICT)
        return conflict(request, "it cannot be stopped", session.status);
    if (rc)
        return store_error(request, rc);
    bool ok = enqueue_processing(api, session.id, &enqueued);
    cJSON *json = session_json(&session);
    if (json) {
        cJSON_AddBoolToObject(json, "enqueued", ok);
        if (ok)
            cJSON_AddStringToObject(json, "task_id", enqueued.id);
    }
    return http_send(request, MHD_HTTP_OK, json);
}

static enum MHD_Result health(struct api *api,
                              const struct http_request *request)
{
    lunaq_error err = LUNAQ_ERROR_INIT;
    bool database = store_ping(api->store) == STORE_OK;
    bool broker = lunaq_client_ping(api->client, &err) == LUNAQ_OK;
    if (!broker)
        fprintf(stderr, "session_api: broker: %s\n", err.message);
    cJSON *json = cJSON_CreateObject();
    if (json) {
        cJSON_AddBoolToObject(json, "database", database);
        cJSON_AddBoolToObject(json, "broker", broker);
    }
    return http_send(
        request,
        database && broker ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, json);
}

/* Cuts "/{id}" or "/{id}/{verb}" apart.  Ids are UUIDs: anything else names no
 * session, and no other byte ever reaches a payload. */
static bool parse_id(const char *path, char id[STORE_ID_SIZE],
                     const char **verb)
{
    size_t len = strspn(path + 1, "0123456789abcdef-");
    if (path[0] != '/' || len != STORE_ID_SIZE - 1)
        return false;
    memcpy(id, path + 1, len);
    id[len] = '\0';
    *verb = path + 1 + len;
    return true;
}

static enum MHD_Result route(const struct http_request *request, void *userdata)
{
    struct api *api = userdata;
    bool get = strcmp(request->method, "GET") == 0;
    bool post = strcmp(request->method, "POST") == 0;
    const char *rest = request->path, *verb;
    char id[STORE_ID_SIZE];

    if (strcmp(rest, "/health") == 0)
        return get ? health(api, request) : http_wrong_method(request, "GET");
    if (strncmp(rest, SESSIONS, strlen(SESSIONS)) != 0)
        return http_error(request, MHD_HTTP_NOT_FOUND, "no such path");
    rest += strlen(SESSIONS);
    if (*rest == '\0')
        return post ? create_session(api, request)
                    : http_wrong_method(request, "POST");
    if (!parse_id(rest, id, &verb))
        return http_error(request, MHD_HTTP_NOT_FOUND, "no such session");
    if (*verb == '\0')
        return get ? show_session(api, request, id)
                   : http_wrong_method(request, "GET");
    if (strcmp(verb, "/visits") == 0)
        return post ? add_visit(api, request, id)
                    : http_wrong_method(request, "POST");
    if (strcmp(verb, "/stop") == 0)
        return post ? stop_session(api, request, id)
                    : http_wrong_method(request, "POST");
    return http_error(request, MHD_HTTP_NOT_FOUND, "no such path");
}

/* ---- the program ----------------------------------------------------------
 */

/* "listen" of the options into address:port; false after saying why not. */
static bool parse_options(int argc, char **argv, char *listen, size_t size)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'},
        {"port", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    int option;
    bool good = true;
    snprintf(listen, size, "127.0.0.1:8080");
    while ((option = getopt_long(argc, argv, "l:p:h", options, NULL)) != -1) {
        if (option == 'l')
            snprintf(listen, size, "%s", optarg);
        else if (option == 'p')
            snprintf(listen, size, "127.0.0.1:%s", optarg);
        else
            good = false;
    }
    if (good && optind == argc)
        return true;
    fprintf(stderr, "usage: session_api [--port N | --listen address:port]\n"
                    "environment: DATABASE_URL; LUNAQ_BROKER, REDIS_URL or "
                    "REDIS_ADDR\n");
    return false;
}

int main(int argc, char **argv)
{
    struct api api = {0};
    struct http_server *server = NULL;
    lunaq_error err = LUNAQ_ERROR_INIT;
    lunaq_client_options options = LUNAQ_CLIENT_OPTIONS_INIT;
    options.timeout_ms = BROKER_TIMEOUT_MS;
    char listen[128];
    uint16_t port = 0;
    sigset_t stop;
    int rc = 1, signal;

    if (!parse_options(argc, argv, listen, sizeof listen))
        return 2;
    /* Before the threads start: they inherit the mask. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGPIPE); /* a peer that hung up is an error, not an end */
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    sigdelset(&stop, SIGPIPE);

    const char *database = getenv("DATABASE_URL");
    if (!database || !*database) {
        database = "sqlite:" DATABASE_FILE;
        if (access(DATABASE_FILE, F_OK) != 0) {
            fprintf(stderr, "session_api: there is no " DATABASE_FILE " here: "
                            "start lunaqd in this folder first, or set "
                            "DATABASE_URL\n");
            goto out;
        }
    }
    if (lunaq_client_open(&api.client, &options, &err)) {
        fprintf(stderr, "session_api: broker: %s\n", err.message);
        goto out;
    }
    api.store = store_open(database);
    if (!api.store)
        goto out;
    server = http_start(listen, route, &api, &port);
    if (!server)
        goto out;
    fprintf(stderr, "session_api: listening on %s, port %u\n", listen,
            (unsigned)port);
    rc = sigwait(&stop, &signal) ? 1 : 0;
out:
    http_stop(server);
    store_close(api.store);
    lunaq_client_close(api.client);
    return rc;
}
