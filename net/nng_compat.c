#include "net/nng_compat.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "net/internal.h"

#ifdef CV_ASAN
/* NNG 1.5 does not free all of a dialer that is closed while it dials. The leak checker asks for this by its name. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnng.so\n";
}
#endif

#ifdef CV_NET_TSAN
static atomic_uint handed_over;

void cv_net_give(void)
{
    atomic_fetch_add_explicit(&handed_over, 1, memory_order_release);
}

void cv_net_got(void)
{
    (void)atomic_load_explicit(&handed_over, memory_order_acquire);
}
#endif

bool cv_nng_fail(struct cv_error *err, int rv, const char *what, const char *address)
{
    enum cv_code code = CV_ERR_IO;
    if (rv == NNG_ENOMEM)
        code = CV_ERR_NOMEM;
    else if (rv == NNG_ETIMEDOUT)
        code = CV_ERR_TIMEOUT;
    else if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
        code = CV_ERR_CANCEL;
    else if (rv == NNG_ECONNREFUSED || rv == NNG_ECONNRESET || rv == NNG_ECONNSHUT || rv == NNG_EPEERAUTH)
        code = CV_ERR_PEER;
    else if (rv == NNG_EADDRINVAL || rv == NNG_EINVAL)
        code = CV_ERR_ARG;
    return cv_fail(err, code, "%s %s: %s", what, address, nng_strerror(rv));
}

bool cv_nng_dial(nng_socket s, const char *address, struct cv_error *err)
{
    nng_dialer d;
    (void)nng_socket_set_ms(s, NNG_OPT_RECONNMINT, 50);
    (void)nng_socket_set_ms(s, NNG_OPT_RECONNMAXT, 500);
    int rv = nng_dialer_create(&d, s, address);
    if (rv != 0)
        return cv_nng_fail(err, rv, "dial", address);
    /* inproc has neither; keep-alive finds a host that died without a word */
    (void)nng_dialer_set_bool(d, NNG_OPT_TCP_NODELAY, true);
    (void)nng_dialer_set_bool(d, NNG_OPT_TCP_KEEPALIVE, true);
    rv = nng_dialer_start(d, NNG_FLAG_NONBLOCK);
    return rv == 0 || cv_nng_fail(err, rv, "dial", address);
}

static int listen_once(nng_socket s, const char *address)
{
    nng_listener l;
    int rv = nng_listener_create(&l, s, address);
    if (rv != 0)
        return rv;
    (void)nng_listener_set_bool(l, NNG_OPT_TCP_NODELAY, true);
    (void)nng_listener_set_bool(l, NNG_OPT_TCP_KEEPALIVE, true);
    rv = nng_listener_start(l, 0);
    if (rv != 0)
        nng_listener_close(l);
    return rv;
}

bool cv_nng_listen(nng_socket s, const char *address, char *out, struct cv_error *err)
{
    struct cv_address a;
    if (!cv_address_parse(address, 0, &a, err))
        return false;
    const bool any = a.inproc ? a.host[0] == '\0' : a.port == 0;
    int rv = NNG_EADDRINUSE;
    /* NNG cannot be asked which port it got, so we look for one first; another process may take it in between. A given
     * port may still be held by a socket of this process that was closed a moment ago. */
    for (int attempt = 0; rv == NNG_EADDRINUSE && attempt < (any ? 20 : 100); attempt++) {
        if (attempt != 0 && !any) {
            if (cv_net_n_retired() == 0)
                break;
            cv_sleep_ms(20);
        }
        if (any && a.inproc) {
            unsigned char name[8];
            if (!cv_random_bytes(name, sizeof(name)))
                return cv_fail(err, CV_ERR_IO, "no random bytes");
            cv_hex_encode(name, sizeof(name), a.host);
        } else if (any && !cv_net_free_port(a.host, &a.port, err)) {
            return false;
        }
        rv = listen_once(s, cv_address_format(&a, out));
    }
    return rv == 0 || cv_nng_fail(err, rv, "listen on", out);
}
