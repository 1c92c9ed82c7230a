/* Which broker it is when the caller did not say. */
#ifndef LQ_BROKER_CHOICE_H
#define LQ_BROKER_CHOICE_H

#define LQ_BROKER_DEFAULT "redis://127.0.0.1:6379"

typedef struct lq_broker_choice {
    const char *url;    /* borrowed from `given` or the environment */
    const char *source; /* who named it, for people; NULL: the caller */
} lq_broker_choice;

/** given, else LUNAQ_BROKER, REDIS_URL or REDIS_ADDR of the environment, else
 *  the default; empty values count as unset. */
lq_broker_choice lq_broker_choose(const char *given);

#endif
