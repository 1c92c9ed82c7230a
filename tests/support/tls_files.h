/* tls_files: certificates of the test's own, made by openssl(1). */
#ifndef LQ_TEST_TLS_FILES_H
#define LQ_TEST_TLS_FILES_H

/* In `folder`: ca.pem; server.pem + server.key for localhost and 127.0.0.1;
 * expired.pem + expired.key, the same and of yesterday; client.pem +
 * client.key; other.pem, a CA that signed nothing; locked.key, client.key with
 * a passphrase. */
typedef struct tls_files {
    char folder[64];
} tls_files;

/** 0, or -1 when there is no openssl: skip then. */
int tls_files_make(tls_files *f);
/** "<folder>/<name>", one of a few static texts. */
const char *tls_file(const tls_files *f, const char *name);
void tls_files_remove(tls_files *f);

#endif
