/* internal.h - what the files of net/ share besides NNG. */
#ifndef CV_NET_INTERNAL_H
#define CV_NET_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/wait.h"

/* A port of host that nobody listens on at this moment. */
bool cv_net_free_port(const char *host, uint16_t *port, struct cv_error *err);

/* A socket whose owner is done with it; the first member of the owner's struct. */
struct cv_net_retired {
    struct cv_net_retired *next;
    void (*close)(struct cv_net_retired *r);
    uint64_t when_ms;
};

/* Calls close, which frees the struct around r, on a thread of its own when the socket has become quiet. Nobody may
 * receive on it any more. */
void cv_net_retire(struct cv_net_retired *r, void (*close)(struct cv_net_retired *r));
/* How many are not closed yet. */
unsigned cv_net_n_retired(void);

#endif
