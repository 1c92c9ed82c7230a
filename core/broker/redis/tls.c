#include "redis/tls.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

struct lq_tls_context {
    SSL_CTX *ctx;
    char *server_name; /* NULL = the host */
    bool insecure;
};

struct lq_tls {
    SSL *ssl; /* owns both BIOs */
    BIO *in, *out;
    char *name; /* what the certificate has to be for */
    lq_buf output;
    size_t sent;
    bool ready;
};

/* ---- the context --------------------------------------------------------- */

static int file_failed(lunaq_error *err, const char *what, const char *path,
                       const char *why)
{
    ERR_clear_error();
    return lq_fail(err, LUNAQ_ECONFIG, "redis: TLS: %s=%s: %s", what, path,
                   why);
}

/* A relative path may have been meant from somewhere else. */
static int file_missing(lunaq_error *err, const char *what, const char *path)
{
    char why[160], folder[4096];
    snprintf(why, sizeof(why), "%s", strerror(errno));
    if (path[0] != '/' && getcwd(folder, sizeof(folder)))
        snprintf(why, sizeof(why), "%s (looked for in %.100s)", strerror(errno),
                 folder);
    return file_failed(err, what, path, why);
}

/* OpenSSL says of a file that is not there what it says of one that is no
 * certificate. */
static int check_readable(const char *what, const char *path, lunaq_error *err)
{
    FILE *f = fopen(path, "re");
    char byte;
    if (!f)
        return file_missing(err, what, path);
    errno = 0;
    size_t n = fread(&byte, 1, 1, f);
    int why = errno;
    fclose(f);
    return n ? LUNAQ_OK
             : file_failed(err, what, path,
                           why ? strerror(why) : "the file is empty");
}

static int load_ca(lq_tls_context *c, const lq_url *url, lunaq_error *err)
{
    if (!url->ca) {
        if (SSL_CTX_set_default_verify_paths(c->ctx) == 1)
            return LUNAQ_OK;
        ERR_clear_error();
        return lq_fail(err, LUNAQ_ECONFIG,
                       "redis: TLS: the system's certificates cannot be read: "
                       "name a file with ca=");
    }
    int rc = check_readable("ca", url->ca, err);
    if (!rc && SSL_CTX_load_verify_locations(c->ctx, url->ca, NULL) != 1)
        rc =
            file_failed(err, "ca", url->ca, "holds no certificate in PEM form");
    return rc;
}

/* Nobody is there to type a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *ud)
{
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)ud = true;
    return -1;
}

static int load_login(lq_tls_context *c, const lq_url *url, lunaq_error *err)
{
    bool encrypted = false;
    if (!url->cert)
        return LUNAQ_OK;
    int rc = check_readable("cert", url->cert, err);
    if (!rc)
        rc = check_readable("key", url->key, err);
    if (rc)
        return rc;
    if (SSL_CTX_use_certificate_chain_file(c->ctx, url->cert) != 1)
        return file_failed(err, "cert", url->cert,
                           "holds no certificate in PEM form");
    SSL_CTX_set_default_passwd_cb(c->ctx, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(c->ctx, &encrypted);
    if (SSL_CTX_use_PrivateKey_file(c->ctx, url->key, SSL_FILETYPE_PEM) != 1) {
        unsigned long why = ERR_peek_last_error();
        bool mismatch = ERR_GET_LIB(why) == ERR_LIB_X509 &&
                        ERR_GET_REASON(why) == X509_R_KEY_VALUES_MISMATCH;
        rc = file_failed(err, "key", url->key,
                         encrypted  ? "has a passphrase: give a key without"
                         : mismatch ? "is not the key of cert="
                                    : "holds no private key in PEM form");
    } else if (SSL_CTX_check_private_key(c->ctx) != 1) {
        rc = file_failed(err, "key", url->key, "is not the key of cert=");
    }
    SSL_CTX_set_default_passwd_cb_userdata(c->ctx, NULL);
    SSL_CTX_set_default_passwd_cb(c->ctx, NULL);
    return rc;
}

int lq_tls_context_new(lq_tls_context **out, const lq_url *url,
                       lunaq_error *err)
{
    lq_tls_context *c = lq_calloc(1, sizeof(*c));
    int rc = LUNAQ_OK;

    *out = NULL;
    if (!c)
        return lq_fail_nomem(err);
    c->insecure = url->insecure;
    c->server_name = lq_strdup(url->server_name);
    c->ctx = SSL_CTX_new(TLS_client_method());
    if (!c->ctx || (url->server_name && !c->server_name)) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(c->ctx,
                       url->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (!url->insecure)
        rc = load_ca(c, url, err);
    if (!rc)
        rc = load_login(c, url, err);
    if (!rc) {
        *out = c;
        c = NULL;
    }
out:
    lq_tls_context_free(c);
    return rc;
}

void lq_tls_context_free(lq_tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ctx);
    lq_free(context->server_name);
    lq_free(context);
}

/* ---- failing ------------------------------------------------------------- */

static int certificate_failed(const lq_tls *t, long why, lunaq_error *err)
{
    const char *text = X509_verify_cert_error_string(why), *todo = "";
    switch (why) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        todo = ": renew it on the server";
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        todo = ": is this machine's clock right?";
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return lq_fail(err, LUNAQ_ECONFIG,
                       "redis: TLS: the server's certificate is not for '%s': "
                       "connect by a name that is in it, or say which with "
                       "server_name=",
                       t->name);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        todo = ": its CA is not known here: name the CA's file with ca=";
        break;
    default:
        break;
    }
    return lq_fail(err, LUNAQ_ECONFIG,
                   "redis: TLS: the server's certificate: %s%s", text, todo);
}

/* What OpenSSL's last error means, for people. */
static int tls_failed(const lq_tls *t, lunaq_error *err)
{
    static const struct {
        int reason;
        const char *says;
    } known[] = {
        {SSL_R_WRONG_VERSION_NUMBER,
         "the server does not speak TLS on this port: is it another port, or "
         "redis:// instead of rediss://?"},
        {SSL_R_UNSUPPORTED_PROTOCOL,
         "the server speaks no TLS 1.2 or newer: allow it there"},
        {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
         "the server speaks no TLS version that is allowed here: allow TLS "
         "1.2 or newer there"},
        {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
         "the server wants a certificate from us: give cert= and key="},
        {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
         "the server refused the handshake: does it want a certificate (cert= "
         "and key=)?"},
        {SSL_R_TLSV1_ALERT_UNKNOWN_CA,
         "the server does not know the CA of our certificate (cert=)"},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
         "the server says that our certificate (cert=) has expired"},
        {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
         "the server refused our certificate (cert=)"},
    };
    long verdict = SSL_get_verify_result(t->ssl);
    unsigned long code = ERR_peek_last_error();
    char text[120] = "";

    if (code && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED &&
        verdict != X509_V_OK) {
        ERR_clear_error();
        return certificate_failed(t, verdict, err);
    }
    for (size_t i = 0; i < LQ_COUNT(known); i++)
        if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
            ERR_GET_REASON(code) == known[i].reason) {
            ERR_clear_error();
            return lq_fail(err, LUNAQ_ECONFIG, "redis: TLS: %s", known[i].says);
        }
    if (code) {
        const char *reason = ERR_reason_error_string(code);
        snprintf(text, sizeof(text), "%s", reason ? reason : "failed");
    }
    ERR_clear_error();
    return lq_fail(err, LUNAQ_EBROKER, "redis: TLS: %s",
                   text[0] ? text : "the server ended it");
}

/* ---- a connection -------------------------------------------------------- */

static bool is_address(const char *name)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    bool is = ip != NULL;
    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    return is;
}

/* Moves what OpenSSL has written into the output. */
static int collect(lq_tls *t, lunaq_error *err)
{
    size_t n = BIO_ctrl_pending(t->out), got = 0;
    char *room = n ? lq_buf_reserve(&t->output, n) : NULL;
    if (!n)
        return LUNAQ_OK;
    if (!room || BIO_read_ex(t->out, room, n, &got) != 1) {
        ERR_clear_error();
        return lq_fail_nomem(err);
    }
    lq_buf_grew(&t->output, got);
    return LUNAQ_OK;
}

static int handshake(lq_tls *t, lunaq_error *err)
{
    ERR_clear_error();
    int n = SSL_do_handshake(t->ssl);
    int why = SSL_get_error(t->ssl, n);
    if (n == 1)
        t->ready = true;
    else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        return tls_failed(t, err);
    return collect(t, err);
}

static bool set_name(lq_tls *t, bool insecure)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    bool address = is_address(t->name);
    if (!address && SSL_set_tlsext_host_name(t->ssl, t->name) != 1)
        return false;
    if (insecure)
        return true;
    return address ? X509_VERIFY_PARAM_set1_ip_asc(param, t->name) == 1
                   : SSL_set1_host(t->ssl, t->name) == 1;
}

int lq_tls_new(lq_tls **out, lq_tls_context *context, const char *host,
               lunaq_error *err)
{
    lq_tls *t = lq_calloc(1, sizeof(*t));
    int rc = LUNAQ_ENOMEM;

    *out = NULL;
    if (!t)
        return lq_fail_nomem(err);
    lq_buf_init(&t->output, 0);
    t->name = lq_strdup(context->server_name ? context->server_name : host);
    t->ssl = SSL_new(context->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (t->ssl && t->in && t->out) {
        SSL_set_bio(t->ssl, t->in, t->out);
        rc = LUNAQ_OK;
    } else {
        BIO_free(t->in);
        BIO_free(t->out);
    }
    if (rc || !t->name) {
        rc = lq_fail_nomem(err);
        goto out;
    }
    if (!set_name(t, context->insecure)) {
        ERR_clear_error();
        rc = lq_fail(err, LUNAQ_ECONFIG,
                     "redis: TLS: '%s' can be the name of no server", t->name);
        goto out;
    }
    SSL_set_connect_state(t->ssl);
    rc = handshake(t, err);
    if (!rc) {
        *out = t;
        t = NULL;
    }
out:
    lq_tls_free(t);
    return rc;
}

void lq_tls_free(lq_tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    lq_buf_release(&tls->output);
    lq_free(tls->name);
    lq_free(tls);
}

bool lq_tls_ready(const lq_tls *tls)
{
    return tls->ready;
}

int lq_tls_received(lq_tls *tls, const char *p, size_t n, lunaq_error *err)
{
    size_t taken = 0;
    ERR_clear_error();
    if (n && (BIO_write_ex(tls->in, p, n, &taken) != 1 || taken != n)) {
        ERR_clear_error();
        return lq_fail_nomem(err);
    }
    return tls->ready ? LUNAQ_OK : handshake(tls, err);
}

int lq_tls_read(lq_tls *tls, char *out, size_t size, size_t *n,
                lunaq_error *err)
{
    *n = 0;
    ERR_clear_error();
    if (SSL_read_ex(tls->ssl, out, size, n) == 1)
        return LUNAQ_OK;
    *n = 0;
    int why = SSL_get_error(tls->ssl, 0);
    if (why == SSL_ERROR_ZERO_RETURN)
        return lq_fail(err, LUNAQ_EBROKER,
                       "redis: TLS: the server closed the connection");
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        return tls_failed(tls, err);
    return collect(tls, err); /* it may answer a change of keys */
}

int lq_tls_write(lq_tls *tls, lq_str plain, lunaq_error *err)
{
    size_t n = 0;
    ERR_clear_error();
    if (plain.len &&
        (SSL_write_ex(tls->ssl, plain.p, plain.len, &n) != 1 || n != plain.len))
        return tls_failed(tls, err);
    return collect(tls, err);
}

lq_str lq_tls_output(const lq_tls *tls)
{
    if (tls->sent >= tls->output.len)
        return (lq_str){0};
    return lq_str_n(tls->output.p + tls->sent, tls->output.len - tls->sent);
}

void lq_tls_sent(lq_tls *tls, size_t n)
{
    tls->sent += n;
    if (tls->sent < tls->output.len)
        return;
    tls->sent = 0;
    if (tls->output.cap > (size_t)1024 * 1024)
        lq_buf_release(&tls->output);
    else
        lq_buf_clear(&tls->output);
}
