/* tls: TLS without a socket: a filter between the bytes of a Redis connection
 * and those on the wire, over OpenSSL's memory BIOs.
 *
 *     plain ── lq_tls_write() ─▶ lq_tls_output() ─▶ to the server
 *     plain ◀─ lq_tls_read() ─── lq_tls_received() ◀─ from the server
 *
 * Whoever moves the bytes writes the output after every step, also after
 * received: the handshake speaks too.  A context is made once from a URL and
 * serves any number of connections, one thread at a time.
 */
#ifndef LQ_TLS_H
#define LQ_TLS_H

#include "broker/url.h"

typedef struct lq_tls_context lq_tls_context;
typedef struct lq_tls lq_tls;

/** Reads the files that url names (ca, cert, key).  TLS 1.2 or newer; the
 *  server's certificate is looked at unless url->insecure.  LUNAQ_ECONFIG names
 *  the file that will not do. */
int lq_tls_context_new(lq_tls_context **out, const lq_url *url,
                       lunaq_error *err);
void lq_tls_context_free(lq_tls_context *context); /* NULL is fine */

/** Begins a connection to `host`, a name or an address, which the certificate
 *  has to be for (or url's server_name): the first bytes are in the output.
 *  context must outlive it. */
int lq_tls_new(lq_tls **out, lq_tls_context *context, const char *host,
               lunaq_error *err);
void lq_tls_free(lq_tls *tls); /* NULL is fine */

/** True once the handshake is done: now write and read. */
bool lq_tls_ready(const lq_tls *tls);

/** Takes n bytes that came from the server, and goes on with the handshake.
 *  On failure the connection is to be closed: LUNAQ_ECONFIG with what to do
 *  about it when the two ends do not suit each other, LUNAQ_EBROKER else. */
int lq_tls_received(lq_tls *tls, const char *p, size_t n, lunaq_error *err);
/** Decrypts up to size bytes; *n = 0: nothing more until bytes come. */
int lq_tls_read(lq_tls *tls, char *out, size_t size, size_t *n,
                lunaq_error *err);

/** Encrypts all of it into the output.  Only when ready. */
int lq_tls_write(lq_tls *tls, lq_str plain, lunaq_error *err);
/** What is to be sent, len 0 = nothing.  It stays until lq_tls_sent(). */
lq_str lq_tls_output(const lq_tls *tls);
void lq_tls_sent(lq_tls *tls, size_t n);

#endif
