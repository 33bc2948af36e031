#include "net/seal.h"

#include <pthread.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/reader.h"

/* "CVC1" as it stands in memory */
#define MAGIC 0x31435643u

enum direction { QUESTION = 1, ANSWER = 2, REFUSAL = 3 };
enum { PROVEN = 1 }; /* flag: the proof is there */

/*
 *  0 magic u32   4 direction u8   5 flags u8   6 code u16   8 client u64   16 counter u64   24 zero u64   32 proof[32]
 */
enum { AT_DIRECTION = 4, AT_FLAGS = 5, AT_CODE = 6, AT_CLIENT = 8, AT_COUNTER = 16, AT_PROOF = 32 };

struct seen {
    uint64_t client, counter, used;
};

struct cv_seal {
    bool has_key;
    unsigned char key[CV_SHA256_BYTES];
    pthread_mutex_t lock;  /* a leaf; guards what follows */
    struct cv_seal_id own; /* of the last question asked here */
    struct seen *seen;     /* CV_SEAL_CLIENTS of them, made with the first question answered here */
    size_t n_seen;
    uint64_t clock;
};

bool cv_seal_new(struct cv_seal **out, const char *token, struct cv_error *err)
{
    struct cv_seal *s = cv_zalloc(sizeof(*s));
    if (s == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a seal");
    pthread_mutex_init(&s->lock, NULL);
    static const char purpose[] = "caravan call 1";
    s->has_key = token != NULL;
    bool ok = cv_random_bytes(&s->own.client, sizeof(s->own.client)) &&
              (token == NULL || cv_hmac_sha256(token, strlen(token), purpose, sizeof(purpose) - 1, s->key));
    if (!ok) {
        cv_seal_free(s);
        return cv_fail(err, CV_ERR_INTERNAL, "no random bytes, or no HMAC");
    }
    *out = s;
    return true;
}

void cv_seal_free(struct cv_seal *s)
{
    if (s == NULL)
        return;
    pthread_mutex_destroy(&s->lock);
    cv_free(s->seen);
    cv_free(s);
}

static void write_head(unsigned char *head, enum direction direction, struct cv_seal_id id, enum cv_code code)
{
    memset(head, 0, CV_SEAL_HEAD);
    cv_store_u32(head, MAGIC);
    head[AT_DIRECTION] = (unsigned char)direction;
    cv_store_u16(head + AT_CODE, (uint16_t)code);
    cv_store_u64(head + AT_CLIENT, id.client);
    cv_store_u64(head + AT_COUNTER, id.counter);
}

/* Over the head before the proof, and the hash of the body. */
static bool prove(const struct cv_seal *s, const unsigned char *head, const void *body, size_t len,
                  unsigned char proof[CV_SHA256_BYTES])
{
    unsigned char text[AT_PROOF + CV_SHA256_BYTES];
    memcpy(text, head, AT_PROOF);
    return cv_sha256_once(body, len, text + AT_PROOF) &&
           cv_hmac_sha256(s->key, sizeof(s->key), text, sizeof(text), proof);
}

static void seal(const struct cv_seal *s, unsigned char *head, enum direction direction, struct cv_seal_id id,
                 enum cv_code code, const void *body, size_t len)
{
    write_head(head, direction, id, code);
    if (!s->has_key)
        return;
    head[AT_FLAGS] = PROVEN;
    if (!prove(s, head, body, len, head + AT_PROOF))
        memset(head + AT_PROOF, 0, CV_SHA256_BYTES); /* no memory: the other side refuses it */
}

void cv_seal_question(struct cv_seal *s, void *head, const void *body, size_t len, struct cv_seal_id *id)
{
    pthread_mutex_lock(&s->lock);
    s->own.counter++;
    *id = s->own;
    pthread_mutex_unlock(&s->lock);
    seal(s, head, QUESTION, *id, CV_OK, body, len);
}

void cv_seal_answer(struct cv_seal *s, void *head, const void *body, size_t len, struct cv_seal_id id,
                    enum cv_code code)
{
    seal(s, head, ANSWER, id, code, body, len);
}

void cv_seal_refusal(void *head, struct cv_seal_id id, enum cv_code code)
{
    write_head(head, REFUSAL, id, code != CV_OK ? code : CV_ERR_INTERNAL);
}

static bool read_head(const void *data, size_t len, struct cv_seal_id *id, struct cv_error *err)
{
    const unsigned char *head = data;
    *id = (struct cv_seal_id){0, 0};
    if (len < CV_SEAL_HEAD)
        return cv_fail(err, CV_ERR_FORMAT, "call message of %zu bytes, a head has %d", len, CV_SEAL_HEAD);
    if (cv_load_u32(head) != MAGIC)
        return cv_fail(err, CV_ERR_FORMAT, "call message begins with %08x, not with CVC1", cv_load_u32(head));
    id->client = cv_load_u64(head + AT_CLIENT);
    id->counter = cv_load_u64(head + AT_COUNTER);
    return true;
}

static bool check_proof(const struct cv_seal *s, const unsigned char *head, size_t len, struct cv_error *err)
{
    unsigned char proof[CV_SHA256_BYTES];
    bool proven = (head[AT_FLAGS] & PROVEN) != 0;
    if (!s->has_key)
        return !proven || cv_fail(err, CV_ERR_AUTH, "a join token was shown, but this side has none");
    if (!proven)
        return cv_fail(err, CV_ERR_AUTH, "no join token was shown; this cluster has one (caravan join ... --token)");
    if (!prove(s, head, head + CV_SEAL_HEAD, len - CV_SEAL_HEAD, proof))
        return cv_fail(err, CV_ERR_NOMEM, "no memory to check a proof");
    return cv_equal_ct(proof, head + AT_PROOF, sizeof(proof)) ||
           cv_fail(err, CV_ERR_AUTH, "the join tokens of the two sides differ");
}

/* The lock is held. */
static struct seen *find_client(struct cv_seal *s, uint64_t client)
{
    struct seen *oldest = s->seen;
    for (size_t i = 0; i < s->n_seen; i++) {
        if (s->seen[i].client == client)
            return &s->seen[i];
        if (s->seen[i].used < oldest->used)
            oldest = &s->seen[i];
    }
    if (s->n_seen < CV_SEAL_CLIENTS)
        oldest = &s->seen[s->n_seen++];
    *oldest = (struct seen){.client = client};
    return oldest;
}

static bool check_replay(struct cv_seal *s, struct cv_seal_id id, struct cv_error *err)
{
    pthread_mutex_lock(&s->lock);
    if (s->seen == NULL)
        s->seen = cv_calloc(CV_SEAL_CLIENTS, sizeof(*s->seen));
    bool memory = s->seen != NULL, fresh = false;
    if (memory) {
        struct seen *c = find_client(s, id.client);
        fresh = id.counter != 0 && id.counter >= c->counter;
        if (fresh)
            c->counter = id.counter;
        c->used = ++s->clock;
    }
    pthread_mutex_unlock(&s->lock);
    if (!memory)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the replay guard");
    return fresh || cv_fail(err, CV_ERR_AUTH, "question %llu was asked before", (unsigned long long)id.counter);
}

bool cv_seal_open_question(struct cv_seal *s, const void *data, size_t len, const void **body, size_t *body_len,
                           struct cv_seal_id *id, struct cv_error *err)
{
    const unsigned char *head = data;
    if (!read_head(data, len, id, err))
        return false;
    if (head[AT_DIRECTION] != QUESTION)
        return cv_fail(err, CV_ERR_FORMAT, "call message of direction %u where a question was expected",
                       head[AT_DIRECTION]);
    if (!check_proof(s, head, len, err) || !check_replay(s, *id, err))
        return false;
    *body = head + CV_SEAL_HEAD;
    *body_len = len - CV_SEAL_HEAD;
    return true;
}

bool cv_seal_open_answer(struct cv_seal *s, const void *data, size_t len, struct cv_seal_id id, const void **body,
                         size_t *body_len, enum cv_code *code, struct cv_error *err)
{
    const unsigned char *head = data;
    struct cv_seal_id got;
    if (!read_head(data, len, &got, err))
        return false;
    if (got.client != id.client || got.counter != id.counter)
        return cv_fail(err, CV_ERR_AUTH, "an answer to another question");
    uint16_t said = cv_load_u16(head + AT_CODE);
    if (head[AT_DIRECTION] == REFUSAL) {
        if (said == CV_OK)
            return cv_fail(err, CV_ERR_FORMAT, "a refusal without a reason");
    } else if (head[AT_DIRECTION] != ANSWER) {
        return cv_fail(err, CV_ERR_FORMAT, "call message of direction %u where an answer was expected",
                       head[AT_DIRECTION]);
    } else if (!check_proof(s, head, len, err)) {
        return false;
    }
    *code = said <= CV_ERR_INTERNAL ? (enum cv_code)said : CV_ERR_PEER;
    *body = head + CV_SEAL_HEAD;
    *body_len = len - CV_SEAL_HEAD;
    return true;
}
