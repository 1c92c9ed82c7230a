/* Error codes, and messages that fit into a lunaq_error. */
#include "base/error.h"

#include "base/str.h"

#include <stdio.h>

const char *lunaq_strerror(int code)
{
    switch (code) {
    case LUNAQ_OK:
        return "success";
#define LUNAQ_X(name, number, text)                                            \
    case LUNAQ_##name:                                                         \
        return text;
        LUNAQ_ERROR_CODES(LUNAQ_X)
#undef LUNAQ_X
    default:
        return "unknown error";
    }
}

/* Ends a text that was cut (len is what it would have had) before the last
 * character if that is not whole. */
static void end_at_character(char *text, size_t size, size_t len)
{
    if (len < size)
        return;
    size_t at = size - 1, back = 0;
    while (back < 4 && back < at && (text[at - back - 1] & 0xc0) == 0x80)
        back++;
    if (back >= at)
        return;
    unsigned char lead = (unsigned char)text[at - back - 1];
    size_t wants = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (wants > back)
        text[at - back - 1] = 0;
}

__attribute__((format(printf, 3, 0))) static size_t
format_into(char *text, size_t size, const char *format, va_list args)
{
    int n = vsnprintf(text, size, format, args);
    if (n < 0) {
        text[0] = 0;
        return 0;
    }
    end_at_character(text, size, (size_t)n);
    return strlen(text);
}

int lq_fail(lunaq_error *err, int code, const char *format, ...)
{
    if (!err)
        return code;
    /* Not straight into *err: the old message may be among the arguments. */
    char text[sizeof err->message];
    va_list args;
    va_start(args, format);
    size_t len = format_into(text, sizeof text, format, args);
    va_end(args);
    err->code = code;
    memcpy(err->message, text, len + 1);
    return code;
}

void lq_error_prefix(lunaq_error *err, const char *format, ...)
{
    if (!err)
        return;
    char head[sizeof err->message], text[2 * sizeof err->message + 2];
    va_list args;
    va_start(args, format);
    format_into(head, sizeof head, format, args);
    va_end(args);
    int n = snprintf(text, sizeof text, "%s: %s", head, err->message);
    size_t len = n > 0 ? (size_t)n : 0;
    size_t keep = len < sizeof err->message ? len : sizeof err->message - 1;
    memcpy(err->message, text, keep);
    err->message[keep] = 0;
    end_at_character(err->message, sizeof err->message, len);
}

int lq_fail_nomem(lunaq_error *err)
{
    return lq_fail(err, LUNAQ_ENOMEM, "out of memory");
}
