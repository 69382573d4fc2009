/* A list; past its ceiling, and under a sanitizer that is to see who uses a freed Work, Works are freed. */
#include "service/work_pool.h"

#include <string.h>

#include "base/limits.h"

#ifdef __SANITIZE_ADDRESS__
#define KEPT_MAX 0
#else
#define KEPT_MAX WORKS_KEPT
#endif
#define ANSWER_KEPT 1024 /* bytes of the answer's buffer that stay with it: all but lists and long refusals */

int work_pool_init(WorkPool *p) {
    *p = (WorkPool){0};
    return -pthread_mutex_init(&p->mutex, NULL);
}

static void free_work(Work *w) {
    buffer_deinit(&w->answer);
    free(w);
}

void work_pool_deinit(WorkPool *p) {
    for (Work *next, *w = p->first; w != NULL; w = next) {
        next = work_of(w->shown.next);
        free_work(w);
    }
    p->first = NULL;
    (void)pthread_mutex_destroy(&p->mutex);
}

Work *work_pool_take(WorkPool *p) {
    (void)pthread_mutex_lock(&p->mutex);
    Work *w = p->first;
    if (w != NULL) {
        p->first = work_of(w->shown.next);
        p->count--;
    }
    (void)pthread_mutex_unlock(&p->mutex);
    if (w == NULL) {
        w = calloc(1, sizeof *w);
        if (w == NULL)
            return NULL;
        buffer_init(&w->answer, ANSWER_MAX);
    } else {
        Buffer answer = w->answer;
        memset(w, 0, sizeof *w);
        w->answer = answer;
        buffer_clear(&w->answer);
    }
    buffer_init(&w->holder, HOLDER_MAX);
    w->pool = p;
    return w;
}

void work_pool_give(Work *w) {
    WorkPool *p = w->pool;
    if (w->answer.capacity > ANSWER_KEPT)
        buffer_deinit(&w->answer);
    buffer_deinit(&w->holder);
    (void)pthread_mutex_lock(&p->mutex);
    bool is_kept = p->count < KEPT_MAX;
    if (is_kept) {
        w->shown.next = p->first != NULL ? &p->first->shown : NULL;
        p->first = w;
        p->count++;
    }
    (void)pthread_mutex_unlock(&p->mutex);
    if (!is_kept)
        free_work(w);
}
