/* Zone names → files → zones. */
#include "task/zone_file.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_LEN 100
#define FOLDER "/usr/share/zoneinfo"

/* Names come from whoever writes a spec: none may leave the folder. */
static bool name_is_safe(lq_str name)
{
    if (name.len > NAME_MAX_LEN || name.p[0] == '/' || name.p[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '+';
        if (!word && (c != '/' || i + 1 == name.len || name.p[i + 1] == '/'))
            return false;
    }
    return true;
}

static int read_all(lq_buf *out, int fd, lunaq_error *err)
{
    for (;;) {
        char *to = lq_buf_reserve(out, 4096);
        if (!to)
            return lq_fail(err, LUNAQ_EINVAL, "the zone's file is too large");
        ssize_t n = read(fd, to, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return lq_fail(err, LUNAQ_EINVAL, "%s", strerror(errno));
        if (n == 0)
            return LUNAQ_OK;
        lq_buf_grew(out, (size_t)n);
    }
}

static int missing(const char *folder, lunaq_error *err)
{
    struct stat st;
    if (stat(folder, &st) == 0)
        return lq_fail(err, LUNAQ_EINVAL,
                       "no such zone in %s: use a name like Europe/Berlin, "
                       "with its capitals",
                       folder);
    return lq_fail(err, LUNAQ_EINVAL,
                   "there is no folder %s: install the package tzdata, or set "
                   "TZDIR to where its zones are",
                   folder);
}

static int read_zone(lq_zone **out, lq_str name, lunaq_error *err)
{
    const char *folder = getenv("TZDIR");
    char path[4096];
    lq_buf bytes;
    lq_buf_init(&bytes, LQ_ZONE_BYTES_MAX + 4096);
    if (!folder || !*folder)
        folder = FOLDER;
    int n = snprintf(path, sizeof path, "%s/%.*s", folder, LQ_STR_ARG(name));
    int fd = n > 0 && (size_t)n < sizeof path
                 ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
                 : -1;
    struct stat st;
    int rc;
    if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
        rc = missing(folder, err);
    else
        rc = read_all(&bytes, fd, err);
    if (!rc)
        rc = lq_zone_parse(out, lq_buf_str(&bytes), err);
    if (fd >= 0)
        close(fd);
    lq_buf_release(&bytes);
    return rc;
}

static void name_error(lq_str name, lunaq_error *err)
{
    lq_error_prefix(err, "time zone \"%.*s\"",
                    name.len < NAME_MAX_LEN ? (int)name.len : NAME_MAX_LEN,
                    name.p);
}

int lq_zones_get(lq_zones *zones, lq_str name, const lq_zone **out,
                 lunaq_error *err)
{
    *out = NULL;
    if (name.len == 0 || lq_str_eq(name, LQ_STR("UTC")) ||
        lq_str_eq(name, LQ_STR("Etc/UTC")))
        return LUNAQ_OK;
    lq_zone *zone = lq_map_get(&zones->by_name, name);
    int rc = LUNAQ_OK;
    if (!zone) {
        if (!name_is_safe(name))
            rc = lq_fail(err, LUNAQ_EINVAL,
                         "not the name of a zone: use one like Europe/Berlin");
        else
            rc = read_zone(&zone, name, err);
        if (!rc && !lq_map_set(&zones->by_name, name, zone, NULL)) {
            lq_zone_free(zone);
            rc = lq_fail_nomem(err);
        }
    }
    if (rc) {
        name_error(name, err);
        return rc;
    }
    *out = zone;
    return LUNAQ_OK;
}

int lq_zones_reload(lq_zones *zones, lunaq_error *err)
{
    int first = LUNAQ_OK;
    lq_str name;
    void *zone;
    for (size_t at = 0; lq_map_each(&zones->by_name, &at, &name, &zone);) {
        lunaq_error why = LUNAQ_ERROR_INIT;
        lq_zone *fresh = NULL;
        int rc = read_zone(&fresh, name, &why);
        if (!rc) {
            lq_zone_swap(zone, fresh);
            lq_zone_free(fresh);
        } else if (!first) {
            name_error(name, &why);
            first = rc;
            if (err)
                *err = why;
        }
    }
    return first;
}

void lq_zones_release(lq_zones *zones)
{
    void *zone;
    for (size_t at = 0; lq_map_each(&zones->by_name, &at, NULL, &zone);)
        lq_zone_free(zone);
    lq_map_release(&zones->by_name);
    *zones = (lq_zones){0};
}
