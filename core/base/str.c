/* Strings by value: numbers and UTF-8. */
#include "base/str.h"

bool lq_str_int64(lq_str s, int64_t *value)
{
    size_t i = 0;
    bool negative = s.len > 0 && s.p[0] == '-';
    if (negative)
        i = 1;
    if (i == s.len)
        return false;
    uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0), n = 0;
    for (; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (n > (limit - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (!negative)
        *value = (int64_t)n;
    else
        *value = n == limit ? INT64_MIN : -(int64_t)n;
    return true;
}

size_t lq_utf8_char(lq_str s)
{
    if (s.len == 0)
        return 0;
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned char lead = p[0];
    if (lead < 0x80)
        return 1;
    size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || s.len < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, and what lies beyond U+10FFFF show in the
     * second byte. */
    if ((lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] > 0x9f) ||
        (lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

/* How many bytes at the head of s are ASCII, eight at a time. */
static size_t ascii_head(lq_str s)
{
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= s.len; i += sizeof word) {
        memcpy(&word, s.p + i, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    while (i < s.len && !(s.p[i] & 0x80))
        i++;
    return i;
}

bool lq_utf8_valid(lq_str s)
{
    for (;;) {
        size_t ascii = ascii_head(s);
        s.len -= ascii;
        if (s.len == 0)
            return true;
        s.p += ascii;
        size_t n = lq_utf8_char(s);
        if (n == 0)
            return false;
        s = lq_str_n(s.p + n, s.len - n);
    }
}

size_t lq_utf8_clean(lq_str s, char *out, size_t max)
{
    size_t written = 0;
    while (s.len > 0) {
        size_t n = lq_utf8_char(s), take = n ? n : 1;
        if (take > max - written)
            break;
        /* out may be s.p: what is written never overtakes what is read. */
        if (n)
            memmove(out + written, s.p, n);
        else
            out[written] = '?';
        written += take;
        s = lq_str_n(s.p + take, s.len - take);
    }
    return written;
}

size_t lq_str_distance(const char *a, const char *b)
{
    size_t row[LQ_WORD_MAX + 1], n = strlen(a), m = strlen(b);
    if (n > LQ_WORD_MAX || m > LQ_WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = corner + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

void lq_str_enumerate(char *list, size_t size, lq_str name)
{
    static const char more[] = "…";
    size_t at = strlen(list), end = sizeof more - 1, comma = at ? 2 : 0;
    if (at >= end && memcmp(list + at - end, more, end) == 0)
        return;
    if (at + comma + name.len + sizeof ", …" > size)
        name = LQ_STR("…");
    if (at + comma + name.len + 1 > size)
        return;
    memcpy(list + at, ", ", comma);
    if (name.len)
        memcpy(list + at + comma, name.p, name.len);
    list[at + comma + name.len] = '\0';
}
