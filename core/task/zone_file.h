/* Finding time zones by name: the one place in this layer that reads files. */
#ifndef LQ_ZONE_FILE_H
#define LQ_ZONE_FILE_H

#include "base/map.h"
#include "task/zone.h"

/* Zones that were read, by name.  Born as {0}.  One thread at a time. */
typedef struct lq_zones {
    lq_map by_name;
} lq_zones;

/** The zone of that name ("Europe/Berlin"), read from $TZDIR or
 *  /usr/share/zoneinfo; NULL in *out is UTC, which needs no file ("", "UTC",
 *  "Etc/UTC").  LUNAQ_EINVAL: no such zone, a name that leaves the folder, a
 *  broken file; says whether the whole folder is missing.  The zone is owned
 *  by `zones` and lives until it is released. */
int lq_zones_get(lq_zones *zones, lq_str name, const lq_zone **out,
                 lunaq_error *err);
/** Reads every zone again; pointers to them stay valid.  One that cannot be
 * read any more stays as it was: the first such failure is returned. */
int lq_zones_reload(lq_zones *zones, lunaq_error *err);
void lq_zones_release(lq_zones *zones);

#endif
