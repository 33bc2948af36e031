/* http_client_internal.h - what http_client.c and http_ranges.c share. libcurl stops here. */
#ifndef CV_NET_HTTP_CLIENT_INTERNAL_H
#define CV_NET_HTTP_CLIENT_INTERNAL_H

#include <curl/curl.h>

#include "base/error.h"

/* detail: CURL_ERROR_SIZE bytes, filled in by libcurl when something goes wrong. */
void cv_http_client_common(CURL *easy, const char *url, unsigned stall_s, char *detail);
bool cv_http_client_fail(struct cv_error *err, CURLcode rc, const char *url, const char *detail);

#endif
