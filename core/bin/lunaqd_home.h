/* What the daemon finds or makes in the application's folder. */
#ifndef LUNAQD_HOME_H
#define LUNAQD_HOME_H

#include "bin/config.h"
#include "bin/lunaqd_say.h"

/** True when handlers, and the migrations that were asked for, are there; or
 *  says what is not, and where handlers were looked for. */
bool home_has_folders(const say *s, const config *c);

/** Makes .lunaq, for this user alone and ignored by git, when the queue file or
 *  a database to migrate is to be there.  False: told. */
bool home_make_data(const say *s, const config *c);

#endif
