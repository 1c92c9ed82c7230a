/* An intrusive, doubly linked, circular list.  The head is a node too. */
#ifndef LQ_LIST_H
#define LQ_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct lq_list {
    struct lq_list *next, *prev;
} lq_list;

/* The object that holds `node` as its member. */
#define LQ_OF(node, type, member)                                              \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Walks a list; the current node may be removed. */
#define LQ_LIST_EACH(head, node)                                               \
    for (lq_list *node = (head)->next, *node##_next = node->next;              \
         node != (head); node = node##_next, node##_next = node->next)

static inline void lq_list_init(lq_list *l)
{
    l->next = l->prev = l;
}

static inline bool lq_list_empty(const lq_list *l)
{
    return l->next == l;
}

static inline void lq_list_append(lq_list *head, lq_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* Safe to repeat: a removed node is a list of its own. */
static inline void lq_list_remove(lq_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    lq_list_init(node);
}

static inline lq_list *lq_list_shift(lq_list *head) /* NULL when empty */
{
    lq_list *first = head->next;
    if (first == head)
        return NULL;
    lq_list_remove(first);
    return first;
}

#endif
