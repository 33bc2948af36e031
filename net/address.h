/*
 * address.h - "tcp://host:port", "host:port", "[::1]:port", "inproc://name": taken apart, judged, put together.
 */
#ifndef CV_NET_ADDRESS_H
#define CV_NET_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { CV_ADDRESS_TEXT = 300, CV_HOST_TEXT = 256 };

struct cv_address {
    bool inproc;             /* host is then the name, port 0 */
    char host[CV_HOST_TEXT]; /* without brackets */
    uint16_t port;           /* 0: any free one */
};

/* default_port: used when text names none; -1: then an error. A scheme "tcp://" or "http://" in front is dropped. */
bool cv_address_parse(const char *text, int default_port, struct cv_address *out, struct cv_error *err);
/* "tcp://host:port" or "inproc://name"; out has CV_ADDRESS_TEXT bytes; returns out. */
const char *cv_address_format(const struct cv_address *a, char *out);
/* "host:port", brackets around an IPv6 host. */
const char *cv_address_format_plain(const struct cv_address *a, char *out);
/* In one process, 127.0.0.0/8, ::1, or "localhost". */
bool cv_address_is_loopback(const struct cv_address *a);
/* Listening on every interface: "0.0.0.0", "::" or "". */
bool cv_address_is_wildcard(const struct cv_address *a);
/* The address of this machine from which remote is reached: what to tell others to dial. No packet is sent. */
bool cv_address_local_towards(const struct cv_address *remote, char host[CV_HOST_TEXT], struct cv_error *err);

#endif
