/* seal_test.c - proof of the token, both ways, and the replay guard. */
#include <string.h>

#include "net/seal.h"
#include "tests/check/check.h"

struct sealed {
    unsigned char bytes[CV_SEAL_HEAD + 100];
    size_t len;
    struct cv_seal_id id;
};

static struct cv_seal *with_token(const char *token)
{
    struct cv_seal *s;
    struct cv_error err;
    CHECK_OK(cv_seal_new(&s, token, &err), err);
    return s;
}

static struct sealed question(struct cv_seal *s, const char *text)
{
    struct sealed q = {.len = CV_SEAL_HEAD + strlen(text)};
    memcpy(q.bytes + CV_SEAL_HEAD, text, strlen(text));
    cv_seal_question(s, q.bytes, q.bytes + CV_SEAL_HEAD, strlen(text), &q.id);
    return q;
}

static bool opens(struct cv_seal *s, const struct sealed *q, struct cv_error *err)
{
    const void *body;
    size_t len;
    struct cv_seal_id id;
    return cv_seal_open_question(s, q->bytes, q->len, &body, &len, &id, err) && id.client == q->id.client &&
           id.counter == q->id.counter && len == q->len - CV_SEAL_HEAD;
}

static void test_the_same_token_opens(void)
{
    struct cv_seal *a = with_token("secret"), *b = with_token("secret");
    struct cv_error err;
    struct sealed q = question(a, "who?");
    CHECK_OK(opens(b, &q, &err), err);
    struct sealed r = {.len = CV_SEAL_HEAD + 2, .id = q.id};
    memcpy(r.bytes + CV_SEAL_HEAD, "me", 2);
    cv_seal_answer(b, r.bytes, r.bytes + CV_SEAL_HEAD, 2, q.id, CV_ERR_BUSY);
    const void *body;
    size_t len;
    enum cv_code code;
    CHECK_OK(cv_seal_open_answer(a, r.bytes, r.len, q.id, &body, &len, &code, &err), err);
    CHECK(len == 2 && memcmp(body, "me", 2) == 0 && code == CV_ERR_BUSY);
    struct cv_seal_id other = {q.id.client, q.id.counter + 1};
    CHECK(!cv_seal_open_answer(a, r.bytes, r.len, other, &body, &len, &code, &err));
    CHECK_CONTAINS(err.msg, "another question");
    cv_seal_free(a);
    cv_seal_free(b);
}

static void test_another_token_or_none_is_refused(void)
{
    struct cv_seal *a = with_token("secret"), *b = with_token("Secret"), *none = with_token(NULL);
    struct cv_error err;
    struct sealed q = question(a, "who?");
    CHECK(!opens(b, &q, &err));
    CHECK_EQ(err.code, CV_ERR_AUTH);
    CHECK_CONTAINS(err.msg, "tokens of the two sides differ");
    CHECK(!opens(none, &q, &err));
    CHECK_CONTAINS(err.msg, "this side has none");
    q = question(none, "who?");
    CHECK(!opens(a, &q, &err));
    CHECK_CONTAINS(err.msg, "no join token was shown");
    CHECK_OK(opens(none, &q, &err), err);
    cv_seal_free(a);
    cv_seal_free(b);
    cv_seal_free(none);
}

static void test_every_changed_bit_is_refused(void)
{
    struct cv_seal *a = with_token("secret");
    struct cv_error err;
    struct sealed q = question(a, "load the model");
    for (size_t bit = 0; bit < q.len * 8; bit++) {
        struct cv_seal *b = with_token("secret");
        struct sealed changed = q;
        changed.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        CHECK(!opens(b, &changed, &err));
        CHECK(err.code == CV_ERR_AUTH || err.code == CV_ERR_FORMAT);
        cv_seal_free(b);
    }
    for (size_t n = 0; n < q.len; n++) {
        struct sealed cut = q;
        cut.len = n;
        CHECK(!opens(a, &cut, &err));
    }
    cv_seal_free(a);
}

static void test_an_old_question_is_refused_and_the_last_one_is_not(void)
{
    struct cv_seal *a = with_token("secret"), *b = with_token("secret");
    struct cv_error err;
    struct sealed first = question(a, "1"), second = question(a, "2");
    CHECK(opens(b, &first, &err) && opens(b, &first, &err)); /* the transport repeats itself */
    CHECK(opens(b, &second, &err));
    CHECK(!opens(b, &first, &err));
    CHECK_CONTAINS(err.msg, "question 1 was asked before");
    cv_seal_free(a);
    cv_seal_free(b);
}

static void test_many_clients_do_not_fill_the_memory(void)
{
    struct cv_seal *b = with_token("secret"), *last = NULL;
    struct cv_error err;
    struct sealed q;
    for (int i = 0; i < CV_SEAL_CLIENTS + 100; i++) {
        cv_seal_free(last);
        last = with_token("secret");
        q = question(last, "x");
        CHECK_OK(opens(b, &q, &err), err);
    }
    struct sealed next = question(last, "y");
    CHECK(opens(b, &next, &err));
    CHECK(!opens(b, &q, &err)); /* the newest clients are still guarded */
    cv_seal_free(last);
    cv_seal_free(b);
}

static void test_an_answer_needs_the_proof_too(void)
{
    struct cv_seal *a = with_token("secret"), *liar = with_token(NULL);
    struct cv_error err;
    struct sealed q = question(a, "who?");
    unsigned char r[CV_SEAL_HEAD + 2] = {0};
    const void *body;
    size_t len;
    enum cv_code code;
    cv_seal_answer(liar, r, r + CV_SEAL_HEAD, 2, q.id, CV_OK);
    CHECK(!cv_seal_open_answer(a, r, sizeof(r), q.id, &body, &len, &code, &err));
    CHECK_EQ(err.code, CV_ERR_AUTH);
    cv_seal_refusal(r, q.id, CV_ERR_AUTH);
    CHECK(cv_seal_open_answer(a, r, sizeof(r), q.id, &body, &len, &code, &err) && code == CV_ERR_AUTH);
    r[6] = 0; /* a refusal that says yes */
    CHECK(!cv_seal_open_answer(a, r, sizeof(r), q.id, &body, &len, &code, &err));
    CHECK(!cv_seal_open_answer(a, q.bytes, q.len, q.id, &body, &len, &code, &err)); /* its own question, mirrored */
    cv_seal_free(a);
    cv_seal_free(liar);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_the_same_token_opens),
        CASE(test_another_token_or_none_is_refused),
        CASE(test_every_changed_bit_is_refused),
        CASE(test_an_old_question_is_refused_and_the_last_one_is_not),
        CASE(test_many_clients_do_not_fill_the_memory),
        CASE(test_an_answer_needs_the_proof_too),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
