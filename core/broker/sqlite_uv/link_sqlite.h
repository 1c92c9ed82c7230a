/* link_sqlite: a connection to a queue file on an event loop. */
#ifndef LQ_LINK_SQLITE_H
#define LQ_LINK_SQLITE_H

#include "broker/broker.h"

/** Opens a link; `broker` is an lq_sqlite_engine *.  It is up at the loop's
 *  next turn and stays so: when the file takes no writes, operations are
 *  answered with the reason.  Nothing of SQLite runs on the loop. */
lq_link_open_fn lq_sqlite_link_open;

#endif
