#include "net/address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/internal.h"

static bool starts_with(const char *s, const char *prefix)
{
    return strncasecmp(s, prefix, strlen(prefix)) == 0;
}

static bool parse_port(const char *s, uint16_t *out)
{
    unsigned v = 0;
    if (*s == '\0' || strlen(s) > 5)
        return false;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9')
            return false;
        v = v * 10 + (unsigned)(*s - '0');
    }
    *out = (uint16_t)v;
    return v <= 65535;
}

static bool set_host(struct cv_address *a, const char *s, size_t n, const char *text, struct cv_error *err)
{
    if (n >= sizeof(a->host))
        return cv_fail(err, CV_ERR_ARG, "address '%.100s': name longer than %zu bytes", text, sizeof(a->host) - 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c <= ' ' || c == '/' || c >= 0x7f)
            return cv_fail(err, CV_ERR_ARG, "address '%.100s': character %02x in the name", text, c);
    }
    memcpy(a->host, s, n);
    a->host[n] = '\0';
    return true;
}

bool cv_address_parse(const char *text, int default_port, struct cv_address *out, struct cv_error *err)
{
    struct cv_address a = {0};
    const char *s = text;
    if (starts_with(s, "inproc://")) {
        a.inproc = true;
        s += strlen("inproc://");
        if (!set_host(&a, s, strlen(s), text, err))
            return false;
        *out = a;
        return true;
    }
    if (starts_with(s, "tcp://"))
        s += strlen("tcp://");
    else if (starts_with(s, "http://"))
        s += strlen("http://");
    const char *host = s, *host_end, *port = NULL;
    if (*s == '[') {
        host++;
        host_end = strchr(s, ']');
        if (host_end == NULL || (host_end[1] != '\0' && host_end[1] != ':'))
            return cv_fail(err, CV_ERR_ARG, "address '%.100s': expected [host]:port", text);
        port = host_end[1] == ':' ? host_end + 2 : NULL;
    } else {
        host_end = strchr(s, ':');
        if (host_end != NULL && strchr(host_end + 1, ':') != NULL)
            return cv_fail(err, CV_ERR_ARG, "address '%.100s': an IPv6 host stands in brackets, [host]:port", text);
        port = host_end != NULL ? host_end + 1 : NULL;
        if (host_end == NULL)
            host_end = s + strlen(s);
    }
    if (!set_host(&a, host, (size_t)(host_end - host), text, err))
        return false;
    if (port == NULL && default_port < 0)
        return cv_fail(err, CV_ERR_ARG, "address '%.100s' has no port, expected host:port", text);
    a.port = (uint16_t)default_port;
    if (port != NULL && !parse_port(port, &a.port))
        return cv_fail(err, CV_ERR_ARG, "address '%.100s': '%.20s' is no port", text, port);
    *out = a;
    return true;
}

const char *cv_address_format_plain(const struct cv_address *a, char *out)
{
    bool six = strchr(a->host, ':') != NULL;
    snprintf(out, CV_ADDRESS_TEXT, six ? "[%s]:%u" : "%s:%u", a->host, a->port);
    return out;
}

const char *cv_address_format(const struct cv_address *a, char *out)
{
    char plain[CV_ADDRESS_TEXT];
    if (a->inproc)
        snprintf(out, CV_ADDRESS_TEXT, "inproc://%s", a->host);
    else
        snprintf(out, CV_ADDRESS_TEXT, "tcp://%.*s", CV_ADDRESS_TEXT - 8, cv_address_format_plain(a, plain));
    return out;
}

static bool numeric(const char *host, struct sockaddr_storage *out)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found;
    if (host[0] == '\0' || getaddrinfo(host, NULL, &hints, &found) != 0)
        return false;
    memcpy(out, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

bool cv_address_is_loopback(const struct cv_address *a)
{
    struct sockaddr_storage s = {0};
    if (a->inproc || strcasecmp(a->host, "localhost") == 0)
        return true;
    if (!numeric(a->host, &s))
        return false;
    if (s.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)&s)->sin_addr.s_addr) >> 24 == 127;
    return s.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&s)->sin6_addr);
}

bool cv_address_is_wildcard(const struct cv_address *a)
{
    struct sockaddr_storage s = {0};
    if (a->inproc)
        return false;
    if (a->host[0] == '\0')
        return true;
    if (!numeric(a->host, &s))
        return false;
    if (s.ss_family == AF_INET)
        return ((const struct sockaddr_in *)&s)->sin_addr.s_addr == htonl(INADDR_ANY);
    return s.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&s)->sin6_addr);
}

static bool resolve(const char *host, uint16_t port, int socktype, int flags, struct addrinfo **out,
                    struct cv_error *err)
{
    struct addrinfo hints = {.ai_socktype = socktype, .ai_flags = flags};
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    int rc = getaddrinfo(host[0] != '\0' ? host : NULL, service, &hints, out);
    return rc == 0 || cv_fail(err, CV_ERR_NOT_FOUND, "host '%.100s': %s", host, gai_strerror(rc));
}

bool cv_address_local_towards(const struct cv_address *remote, char host[CV_HOST_TEXT], struct cv_error *err)
{
    struct addrinfo *found;
    if (remote->inproc) {
        snprintf(host, CV_HOST_TEXT, "127.0.0.1");
        return true;
    }
    if (!resolve(remote->host, remote->port != 0 ? remote->port : 1, SOCK_DGRAM, 0, &found, err))
        return false;
    int last = 0;
    bool ok = false;
    for (const struct addrinfo *a = found; a != NULL && !ok; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_DGRAM, 0); /* connecting a datagram socket chooses a route, no more */
        struct sockaddr_storage own;
        socklen_t len = sizeof(own);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0 &&
            getsockname(fd, (struct sockaddr *)&own, &len) == 0)
            ok = getnameinfo((struct sockaddr *)&own, len, host, CV_HOST_TEXT, NULL, 0, NI_NUMERICHOST) == 0;
        else
            last = errno;
        if (fd >= 0)
            close(fd);
    }
    freeaddrinfo(found);
    return ok || cv_fail_errno(err, last, "no way to host '%.100s'", remote->host);
}

bool cv_net_free_port(const char *host, uint16_t *port, struct cv_error *err)
{
    struct addrinfo *found;
    if (!resolve(host, 0, SOCK_STREAM, AI_PASSIVE, &found, err))
        return false;
    int fd = socket(found->ai_family, SOCK_STREAM, 0);
    struct sockaddr_storage own;
    socklen_t len = sizeof(own);
    bool ok = fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0 &&
              getsockname(fd, (struct sockaddr *)&own, &len) == 0;
    int saved = errno;
    if (ok)
        *port = ntohs(own.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&own)->sin6_port
                                                : ((const struct sockaddr_in *)&own)->sin_port);
    if (fd >= 0)
        close(fd);
    freeaddrinfo(found);
    return ok || cv_fail_errno(err, saved, "listen on '%.100s'", host);
}
