/* What programs read: JSON. */
#include "cli.h"

#include "base/str.h"

#include <cjson/cJSON.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

void cli_json_str(struct cJSON *object, const char *name, const char *value)
{
    cli_json_bytes(object, name, value ? value : "", value ? strlen(value) : 0);
}

void cli_json_int(struct cJSON *object, const char *name, int64_t value)
{
    char text[24]; /* a double would round the large ones */
    snprintf(text, sizeof text, "%lld", (long long)value);
    cJSON_AddRawToObject(object, name, text);
}

void cli_json_bytes(struct cJSON *object, const char *name, const void *p,
                    size_t len)
{
    bool text = lq_utf8_valid(lq_str_n(p, len)) && !memchr(p, '\0', len);
    if (text) {
        cJSON_AddStringToObject(object, name, p); /* NUL-terminated */
        return;
    }
    char key[80];
    snprintf(key, sizeof key, "%s_base64", name);
    unsigned char *encoded = malloc(4 * ((len + 2) / 3) + 1);
    if (!encoded)
        return;
    EVP_EncodeBlock(encoded, p, (int)len);
    cJSON_AddStringToObject(object, key, (const char *)encoded);
    free(encoded);
}

/* What a terminal might take as a command is escaped, for those who look at it
 * on one: DEL, and C1, which cJSON leaves as it is. */
static void put_escaped(const char *p)
{
    for (; *p; p++) {
        unsigned char c = (unsigned char)*p, next = (unsigned char)p[1];
        if (c == 0x7f)
            fputs("\\u007f", stdout);
        else if (c == 0xc2 && next >= 0x80 && next < 0xa0)
            printf("\\u%04x", (unsigned char)*++p);
        else
            putchar(c);
    }
}

int cli_json_print(struct cJSON *take_value)
{
    char *text = take_value ? cJSON_Print(take_value) : NULL;
    cJSON_Delete(take_value);
    if (!text)
        return cli_misuse("out of memory"), CLI_FAILED;
    put_escaped(text);
    putchar('\n');
    cJSON_free(text);
    return CLI_OK;
}
