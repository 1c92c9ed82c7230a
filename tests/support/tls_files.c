#include "support/tls_files.h"

#include <stdio.h>
#include <stdlib.h>

/* sign NAME DAYS SUBJECT-ALT-NAMES */
static const char script[] =
    "cd '%s' || exit 1\n"
    "exec >openssl.log 2>&1\n"
    "set -e\n"
    "key() { openssl ecparam -name prime256v1 -genkey -noout -out $1; }\n"
    "authority() { key $1.key; openssl req -x509 -new -key $1.key -days 30 "
    "-subj /CN=$1 -out $1.pem; }\n"
    "sign() { key $1.key; openssl req -new -key $1.key -subj /CN=$1 -out "
    "$1.csr; echo subjectAltName=$3 >$1.ext; openssl x509 -req -in $1.csr "
    "-CA ca.pem -CAkey ca.key -CAcreateserial -days $2 -extfile $1.ext -out "
    "$1.pem; }\n"
    "authority ca\n"
    "authority other\n"
    "sign server 30 DNS:localhost,IP:127.0.0.1\n"
    "sign expired -1 DNS:localhost,IP:127.0.0.1\n"
    "sign client 30 DNS:client\n"
    "openssl ec -in client.key -aes128 -passout pass:x -out locked.key\n"
    "echo nothing >junk.pem\n";

int tls_files_make(tls_files *f)
{
    char command[2048];

    snprintf(f->folder, sizeof(f->folder), "/tmp/lunaq-tls-XXXXXX");
    if (!mkdtemp(f->folder)) {
        f->folder[0] = 0;
        return -1;
    }
    snprintf(command, sizeof(command), script, f->folder);
    if (system(command) == 0) /* NOLINT(cert-env33-c): our own script */
        return 0;
    fprintf(stderr, "no certificates: is openssl installed?\n");
    tls_files_remove(f);
    return -1;
}

const char *tls_file(const tls_files *f, const char *name)
{
    static char texts[8][96];
    static unsigned next;
    char *text = texts[next++ % 8];
    snprintf(text, sizeof(texts[0]), "%s/%s", f->folder, name);
    return text;
}

void tls_files_remove(tls_files *f)
{
    char command[128];
    if (!f->folder[0])
        return;
    snprintf(command, sizeof(command), "rm -rf '%s'", f->folder);
    if (system(command) != 0) /* NOLINT(cert-env33-c): our own folder */
        fprintf(stderr, "%s: left behind\n", f->folder);
    f->folder[0] = 0;
}
