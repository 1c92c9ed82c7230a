#include "redis/cluster_map.h"

#include "base/alloc.h"

/* ---- slots --------------------------------------------------------------- */

/* CRC16-CCITT (XMODEM), a nibble at a time: polynomial 1021, from 0. */
static uint16_t crc16(lq_str s)
{
    static const uint16_t table[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    unsigned crc = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned byte = (unsigned char)s.p[i];
        crc = (crc << 4 ^ table[(crc >> 12 ^ byte >> 4) & 15]) & 0xffff;
        crc = (crc << 4 ^ table[(crc >> 12 ^ byte) & 15]) & 0xffff;
    }
    return (uint16_t)crc;
}

uint16_t lq_cluster_slot(lq_str key)
{
    const char *open = key.len ? memchr(key.p, '{', key.len) : NULL;
    if (open) {
        size_t rest = key.len - (size_t)(open + 1 - key.p);
        const char *close = rest ? memchr(open + 1, '}', rest) : NULL;
        if (close && close > open + 1)
            key = lq_str_n(open + 1, (size_t)(close - open - 1));
    }
    return crc16(key) % LQ_SLOTS;
}

/* ---- the map ------------------------------------------------------------- */

void lq_cluster_map_release(lq_cluster_map *m)
{
    lq_free(m->nodes);
    *m = (lq_cluster_map){0};
}

int lq_cluster_map_node(lq_cluster_map *m, lq_str host, int port)
{
    if (host.len == 0 || host.len >= LQ_CLUSTER_HOST_MAX || port < 1 ||
        port > 65535)
        return -1;
    for (size_t i = 0; i < m->count; i++)
        if (m->nodes[i].addr.port == port &&
            lq_str_eq(host, lq_str_c(m->nodes[i].addr.host)))
            return (int)i;
    if (m->count == LQ_CLUSTER_NODES_MAX)
        return -1;
    lq_cluster_node *nodes =
        lq_realloc(m->nodes, (m->count + 1) * sizeof(*nodes));
    if (!nodes)
        return -1;
    m->nodes = nodes;
    lq_cluster_node *n = &nodes[m->count];
    *n = (lq_cluster_node){.addr.port = port};
    memcpy(n->addr.host, host.p, host.len);
    return (int)m->count++;
}

void lq_cluster_map_move(lq_cluster_map *m, uint16_t slot, size_t node)
{
    uint16_t before = m->owner[slot];
    if (before)
        m->nodes[before - 1].slots--;
    m->owner[slot] = (uint16_t)(node + 1);
    m->nodes[node].slots++;
}

/* A node's "host", or what stands for it. */
static lq_str host_of(const lq_reply *node, const lq_cluster_addr *asked)
{
    lq_str host = lq_reply_str(lq_reply_at(node, 0));
    if (host.len == 0 || lq_str_eq(host, LQ_STR("?")))
        host = lq_str_c(asked->host);
    return host;
}

int lq_cluster_map_read(lq_cluster_map *m, const lq_reply *reply,
                        const lq_cluster_addr *asked, lunaq_error *err)
{
    uint16_t *owner = lq_calloc(LQ_SLOTS, sizeof(*owner));
    bool good = lq_reply_type(reply) == LQ_REPLY_ARRAY;
    if (!owner)
        return lq_fail_nomem(err);
    for (size_t i = 0; good && i < lq_reply_count(reply); i++) {
        const lq_reply *range = lq_reply_at(reply, i);
        const lq_reply *master = lq_reply_at(range, 2);
        int64_t from = lq_reply_int(lq_reply_at(range, 0), -1);
        int64_t to = lq_reply_int(lq_reply_at(range, 1), -1);
        int64_t port = lq_reply_int(lq_reply_at(master, 1), -1);
        int node = -1;
        if (port > 0 && port <= 65535)
            node = lq_cluster_map_node(m, host_of(master, asked), (int)port);
        good = node >= 0 && from >= 0 && to >= from && to < LQ_SLOTS;
        for (int64_t s = from; good && s <= to; s++)
            owner[s] = (uint16_t)(node + 1);
    }
    if (good) {
        memcpy(m->owner, owner, sizeof(m->owner));
        for (size_t i = 0; i < m->count; i++)
            m->nodes[i].slots = 0;
        for (size_t s = 0; s < LQ_SLOTS; s++)
            if (owner[s])
                m->nodes[owner[s] - 1].slots++;
    }
    lq_free(owner);
    return good ? LUNAQ_OK
                : lq_fail(err, LUNAQ_EPROTO,
                          "redis: the answer to CLUSTER SLOTS is of an "
                          "unexpected form");
}

/* ---- errors -------------------------------------------------------------- */

/* "3999 127.0.0.1:6381"; an IPv6 address has no brackets: the last colon
 * counts.  An empty host means the one that was asked. */
static bool read_target(lq_str s, lq_cluster_hint *h)
{
    const char *space = s.len ? memchr(s.p, ' ', s.len) : NULL;
    int64_t slot = 0, port = 0;
    if (!space)
        return false;
    lq_str number = lq_str_n(s.p, (size_t)(space - s.p));
    lq_str to = lq_str_n(space + 1, s.len - number.len - 1);
    const char *colon = to.len ? memrchr(to.p, ':', to.len) : NULL;
    if (!colon)
        return false;
    lq_str host = lq_str_n(to.p, (size_t)(colon - to.p));
    lq_str text = lq_str_n(colon + 1, to.len - host.len - 1);
    if (!lq_str_int64(number, &slot) || slot < 0 || slot >= LQ_SLOTS ||
        !lq_str_int64(text, &port) || port < 1 || port > 65535 ||
        host.len >= LQ_CLUSTER_HOST_MAX)
        return false;
    h->slot = (uint16_t)slot;
    h->to.port = (int)port;
    if (host.len && !lq_str_eq(host, LQ_STR("?")))
        memcpy(h->to.host, host.p, host.len);
    return true;
}

lq_cluster_hint lq_cluster_hear(lq_str error)
{
    static const struct {
        const char *head;
        enum lq_cluster_said said;
    } known[] = {
        {"MOVED ", LQ_SAID_MOVED},     {"ASK ", LQ_SAID_ASK},
        {"TRYAGAIN ", LQ_SAID_LATER},  {"CLUSTERDOWN ", LQ_SAID_DOWN},
        {"READONLY ", LQ_SAID_DOWN},   {"LOADING ", LQ_SAID_DOWN},
        {"MASTERDOWN ", LQ_SAID_DOWN},
    };
    lq_cluster_hint h = {.said = LQ_SAID_NOTHING};
    for (size_t i = 0; i < LQ_COUNT(known); i++) {
        lq_str head = lq_str_c(known[i].head);
        if (!lq_str_starts(error, head))
            continue;
        lq_str rest = lq_str_n(error.p + head.len, error.len - head.len);
        bool target =
            known[i].said == LQ_SAID_MOVED || known[i].said == LQ_SAID_ASK;
        if (!target || read_target(rest, &h))
            h.said = known[i].said;
        break;
    }
    return h;
}
