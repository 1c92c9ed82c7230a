/* What the session API needs of HTTP: requests with a bounded body that cannot
 * be read in two ways, and answers in JSON. */
#ifndef SESSION_HTTP_H
#define SESSION_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <microhttpd.h>

enum { HTTP_BODY_MAX = 16 * 1024 };

/** A complete request; path has no query.  body ends with a NUL. */
struct http_request {
    struct MHD_Connection *connection;
    const char *method;
    const char *path;
    const char *body;
    size_t body_len;
};

/** Answers one request with one of the functions below. */
typedef enum MHD_Result http_route_fn(const struct http_request *request,
                                      void *userdata);

struct http_server;

/** Starts a server on its own thread, which calls route.  listen is
 *  "address:port" with a numeric address, IPv6 in brackets; port 0 takes a free
 *  one.  *port_out is the one in use.  NULL on failure; the reason was
 *  printed. */
struct http_server *http_start(const char *listen, http_route_fn *route,
                               void *userdata, uint16_t *port_out);
/** Ends the thread once the answer it is busy with is out. */
void http_stop(struct http_server *server);

/** Sends an object; takes json, also on failure. */
enum MHD_Result http_send(const struct http_request *request, unsigned status,
                          cJSON *json);
/** Sends {"error": message}. */
enum MHD_Result http_error(const struct http_request *request, unsigned status,
                           const char *message);
/** The same for a wrong method, naming the right one. */
enum MHD_Result http_wrong_method(const struct http_request *request,
                                  const char *allowed);

#endif
