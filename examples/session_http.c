#include "session_http.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One connection cannot hold the server's memory or its thread for long. */
enum {
    CONNECTIONS_MAX = 256,
    CONNECTIONS_PER_IP_MAX = 128,
    CONNECTION_MEMORY = 32 * 1024,
    IDLE_TIMEOUT_S = 10
};

struct http_server {
    struct MHD_Daemon *daemon;
    http_route_fn *route;
    void *userdata;
};

/* A request while its body arrives. */
struct pending {
    char body[HTTP_BODY_MAX + 1];
    size_t len;
    bool too_large;
};

/* ---- answers --------------------------------------------------------------
 */

static enum MHD_Result send_text(struct MHD_Connection *connection,
                                 unsigned status, char *text,
                                 const char *allowed, bool close)
{
    enum MHD_Result rc = MHD_NO;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", "application/json");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (allowed)
        MHD_add_response_header(response, "Allow", allowed);
    if (close)
        MHD_add_response_header(response, "Connection", "close");
    rc = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return rc;
}

enum MHD_Result http_send(const struct http_request *request, unsigned status,
                          cJSON *json)
{
    char *text = json ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    return text ? send_text(request->connection, status, text, NULL, false)
                : MHD_NO; /* closes the connection */
}

static char *error_text(const char *message)
{
    cJSON *json = cJSON_CreateObject();
    char *text = NULL;
    if (json && cJSON_AddStringToObject(json, "error", message))
        text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}

enum MHD_Result http_error(const struct http_request *request, unsigned status,
                           const char *message)
{
    char *text = error_text(message);
    return text ? send_text(request->connection, status, text, NULL, false)
                : MHD_NO;
}

enum MHD_Result http_wrong_method(const struct http_request *request,
                                  const char *allowed)
{
    char message[80];
    snprintf(message, sizeof message, "this path answers %s only", allowed);
    char *text = error_text(message);
    return text ? send_text(request->connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                            text, allowed, false)
                : MHD_NO;
}

/* For a request whose end is not known: whatever follows it on the connection
 * must not be read as another one. */
static enum MHD_Result refuse(struct MHD_Connection *connection,
                              unsigned status, const char *message)
{
    char *text = error_text(message);
    return text ? send_text(connection, status, text, NULL, true) : MHD_NO;
}

/* ---- requests -------------------------------------------------------------
 */

/* What a header block says about where the body ends and whom it is for. */
struct framing {
    unsigned lengths, encodings, hosts;
    bool bad_bytes, bad_length;
    size_t length;
};

static bool is_token(const char *name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(others, *p))
            return false;
    return *name != '\0';
}

static enum MHD_Result look_at_header(void *userdata, enum MHD_ValueKind kind,
                                      const char *name, const char *value)
{
    (void)kind;
    struct framing *f = userdata;
    value = value ? value : "";
    if (!is_token(name))
        f->bad_bytes = true;
    for (const char *p = value; *p; p++)
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
            f->bad_bytes = true;
    if (strcasecmp(name, "Transfer-Encoding") == 0)
        f->encodings++;
    if (strcasecmp(name, "Host") == 0)
        f->hosts++;
    if (strcasecmp(name, "Content-Length") == 0) {
        f->lengths++;
        size_t digits = strspn(value, "0123456789");
        f->bad_length = f->bad_length || digits == 0 || digits > 12 ||
                        value[digits] != '\0';
        f->length = f->bad_length ? 0 : (size_t)strtoull(value, NULL, 10);
    }
    return MHD_YES;
}

/* A message that two programs could cut in different places is how a request
 * is smuggled past the one in front; libmicrohttpd before 1.0.5 takes such
 * messages.  Returns NULL when the request is sound, else what is wrong. */
static const char *check_framing(struct MHD_Connection *connection,
                                 const char *version, struct framing *f)
{
    MHD_get_connection_values(connection, MHD_HEADER_KIND, look_at_header, f);
    if (f->bad_bytes)
        return "a header has bytes that are not allowed";
    if (f->lengths > 1 || f->encodings > 1 || (f->lengths && f->encodings))
        return "Content-Length or Transfer-Encoding is given twice";
    if (f->bad_length)
        return "Content-Length is not a number";
    if (f->hosts > 1 || (f->hosts == 0 && strcmp(version, "HTTP/1.0") != 0))
        return "there must be one Host header";
    return NULL;
}

static enum MHD_Result handle(void *userdata, struct MHD_Connection *connection,
                              const char *path, const char *method,
                              const char *version, const char *data,
                              size_t *data_len, void **state)
{
    const struct http_server *server = userdata;
    struct pending *pending = *state;

    if (!pending) { /* the headers are here, the body is not */
        struct framing framing = {0};
        const char *wrong = check_framing(connection, version, &framing);
        if (wrong)
            return refuse(connection, MHD_HTTP_BAD_REQUEST, wrong);
        if (framing.length > HTTP_BODY_MAX)
            return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE,
                          "the body is larger than 16 KiB");
        *state = calloc(1, sizeof *pending);
        return *state ? MHD_YES : MHD_NO;
    }
    if (*data_len > 0) {
        size_t room = HTTP_BODY_MAX - pending->len;
        if (pending->too_large) /* chunked, and still coming */
            return MHD_NO;
        pending->too_large = *data_len > room;
        size_t take = pending->too_large ? room : *data_len;
        memcpy(pending->body + pending->len, data, take);
        pending->len += take;
        *data_len = 0;
        return MHD_YES;
    }
    if (pending->too_large)
        return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE,
                      "the body is larger than 16 KiB");
    struct http_request request = {connection, method, path, pending->body,
                                   pending->len};
    return server->route(&request, server->userdata);
}

static void finished(void *userdata, struct MHD_Connection *connection,
                     void **state, enum MHD_RequestTerminationCode why)
{
    (void)userdata;
    (void)connection;
    (void)why;
    free(*state);
    *state = NULL;
}

/* ---- the server -----------------------------------------------------------
 */

static struct addrinfo *parse_listen(const char *listen)
{
    char host[64];
    const char *colon = strrchr(listen, ':');
    size_t len = colon ? (size_t)(colon - listen) : sizeof host;
    const char *from = listen;
    if (len >= 2 && len < sizeof host && listen[0] == '[' &&
        listen[len - 1] == ']') {
        from++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof host)
        return NULL;
    snprintf(host, sizeof host, "%.*s", (int)len, from);
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    return getaddrinfo(host, colon + 1, &hints, &found) == 0 ? found : NULL;
}

struct http_server *http_start(const char *listen, http_route_fn *route,
                               void *userdata, uint16_t *port_out)
{
    struct addrinfo *address = parse_listen(listen);
    if (!address) {
        fprintf(stderr,
                "session_api: cannot listen on '%s': give a numeric address "
                "and a port, as in 127.0.0.1:8080 or [::1]:8080\n",
                listen);
        return NULL;
    }
    struct http_server *server = calloc(1, sizeof *server);
    if (server) {
        server->route = route;
        server->userdata = userdata;
        server->daemon = MHD_start_daemon(
            MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO |
                (address->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0),
            0, NULL, NULL, handle, server, MHD_OPTION_SOCK_ADDR,
            address->ai_addr, MHD_OPTION_STRICT_FOR_CLIENT, 1,
            MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U, MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
            (unsigned)CONNECTIONS_PER_IP_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
            (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
            (size_t)CONNECTION_MEMORY, MHD_OPTION_NOTIFY_COMPLETED, finished,
            NULL, MHD_OPTION_END);
    }
    freeaddrinfo(address);
    if (!server || !server->daemon) {
        fprintf(stderr, "session_api: cannot listen on %s: %s\n", listen,
                strerror(errno));
        free(server);
        return NULL;
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    *port_out = info ? info->port : 0;
    return server;
}

void http_stop(struct http_server *server)
{
    if (!server)
        return;
    MHD_stop_daemon(server->daemon);
    free(server);
}
