#include "net/message.h"

#include "net/nng_compat.h"

/* A struct cv_msg is an nng_msg by another name; it is never defined. */
struct cv_msg *cv_msg_new(size_t n)
{
    nng_msg *m;
    return nng_msg_alloc(&m, n) == 0 ? (struct cv_msg *)m : NULL;
}

void cv_msg_free(struct cv_msg *m)
{
    if (m != NULL)
        nng_msg_free((nng_msg *)m);
}

void *cv_msg_body(struct cv_msg *m)
{
    return nng_msg_body((nng_msg *)m);
}

size_t cv_msg_len(const struct cv_msg *m)
{
    return nng_msg_len((const nng_msg *)m);
}
