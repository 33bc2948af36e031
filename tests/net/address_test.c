/* address_test.c - addresses as people write them. */
#include <string.h>

#include "net/address.h"
#include "net/internal.h"
#include "tests/check/check.h"

static struct cv_address parsed(const char *text, int default_port)
{
    struct cv_address a;
    struct cv_error err;
    CHECK_OK(cv_address_parse(text, default_port, &a, &err), err);
    return a;
}

static void refused(const char *text, const char *part)
{
    struct cv_address a;
    struct cv_error err;
    CHECK(!cv_address_parse(text, -1, &a, &err));
    CHECK_EQ(err.code, CV_ERR_ARG);
    CHECK_CONTAINS(err.msg, part);
}

static void test_addresses_are_taken_apart_and_put_together(void)
{
    char text[CV_ADDRESS_TEXT];
    struct cv_address a = parsed("tcp://10.0.0.3:4711", -1);
    CHECK_STR(a.host, "10.0.0.3");
    CHECK_EQ(a.port, 4711);
    CHECK_STR(cv_address_format(&a, text), "tcp://10.0.0.3:4711");
    a = parsed("pi-3", 99);
    CHECK_EQ(a.port, 99);
    CHECK_STR(cv_address_format_plain(&a, text), "pi-3:99");
    a = parsed("http://[fe80::1]:0", -1);
    CHECK_STR(a.host, "fe80::1");
    CHECK_EQ(a.port, 0);
    CHECK_STR(cv_address_format(&a, text), "tcp://[fe80::1]:0");
    a = parsed("[::1]", 7);
    CHECK_STR(cv_address_format_plain(&a, text), "[::1]:7");
    a = parsed("inproc://some-name", -1);
    CHECK(a.inproc);
    CHECK_STR(cv_address_format(&a, text), "inproc://some-name");
    a = parsed(":8080", -1);
    CHECK_STR(a.host, "");
}

static void test_nonsense_is_refused(void)
{
    refused("pi-3", "has no port");
    refused("pi-3:", "'' is no port");
    refused("pi-3:70000", "'70000' is no port");
    refused("pi-3:1x", "'1x' is no port");
    refused("fe80::1:80", "in brackets");
    refused("[fe80::1", "expected [host]:port");
    refused("a b:1", "character 20");
    char longest[CV_HOST_TEXT + 10];
    memset(longest, 'h', sizeof(longest));
    strcpy(longest + CV_HOST_TEXT, ":1");
    refused(longest, "longer than 255 bytes");
}

static void test_loopback_and_wildcard_are_known(void)
{
    static const char *const loop[] = {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "inproc://x"};
    static const char *const other[] = {"10.0.0.1:1", "0.0.0.0:1", "[::]:1", "pi-3:1", "128.0.0.1:1"};
    for (size_t i = 0; i < CV_COUNT(loop); i++) {
        struct cv_address a = parsed(loop[i], -1);
        CHECK(cv_address_is_loopback(&a) && !cv_address_is_wildcard(&a));
    }
    for (size_t i = 0; i < CV_COUNT(other); i++) {
        struct cv_address a = parsed(other[i], -1);
        CHECK(!cv_address_is_loopback(&a));
        CHECK_EQ(cv_address_is_wildcard(&a), i == 1 || i == 2);
    }
}

static void test_this_machines_own_address_is_found(void)
{
    struct cv_error err;
    struct cv_address a = parsed("127.0.0.1:80", -1);
    char host[CV_HOST_TEXT];
    CHECK_OK(cv_address_local_towards(&a, host, &err), err);
    CHECK_STR(host, "127.0.0.1");
    uint16_t port = 0;
    CHECK_OK(cv_net_free_port("127.0.0.1", &port, &err), err);
    CHECK(port != 0);
    CHECK(!cv_net_free_port("203.0.113.7", &port, &err)); /* not one of ours */
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_addresses_are_taken_apart_and_put_together),
        CASE(test_nonsense_is_refused),
        CASE(test_loopback_and_wildcard_are_known),
        CASE(test_this_machines_own_address_is_found),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
