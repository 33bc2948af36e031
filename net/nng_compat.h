/*
 * nng_compat.h - NNG as all its versions from 1.5 to 2.0 share it; private to net/. Anything that is missing here is
 * missing in one of them. Foreign types stop in this folder.
 */
#ifndef CV_NET_NNG_COMPAT_H
#define CV_NET_NNG_COMPAT_H

#include <nng/nng.h>

#if NNG_MAJOR_VERSION < 2
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#define CV_NNG_INIT()           0
#define CV_NNG_CLOSE(s)         nng_close(s)
#define CV_NNG_SEND_AIO(s, aio) nng_send_aio(s, aio)
#define CV_NNG_RECV_AIO(s, aio) nng_recv_aio(s, aio)
#else
#define CV_NNG_INIT()           nng_init(NULL)
#define CV_NNG_CLOSE(s)         nng_socket_close(s)
#define CV_NNG_SEND_AIO(s, aio) nng_socket_send(s, aio)
#define CV_NNG_RECV_AIO(s, aio) nng_socket_recv(s, aio)
#endif

/*
 * What one thread has written before it gave a message or a callback to NNG, another has seen when it gets it from there.
 * NNG's own locks see to that; ThreadSanitizer does not know them, so for it we say so.
 */
#if defined(__SANITIZE_THREAD__)
#define CV_NET_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CV_NET_TSAN 1
#endif
#endif
#ifdef CV_NET_TSAN
void cv_net_give(void);
void cv_net_got(void);
#else
#define cv_net_give() ((void)0)
#define cv_net_got()  ((void)0)
#endif

#include "base/error.h"
#include "net/address.h"

/* Fails with the code that fits NNG's rv, and its text behind the message. */
bool cv_nng_fail(struct cv_error *err, int rv, const char *what, const char *address);
/* Dial address without waiting; again every 50..500 ms. */
bool cv_nng_dial(nng_socket s, const char *address, struct cv_error *err);
/* Listen. Port 0 and an empty inproc name become real ones; the address then stands in out[CV_ADDRESS_TEXT]. */
bool cv_nng_listen(nng_socket s, const char *address, char *out, struct cv_error *err);

#endif
