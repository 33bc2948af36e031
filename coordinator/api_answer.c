#include "coordinator/api_answer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/detokenize.h"

/* One choice as the client sees it. */
struct choice {
    struct cv_buf text;     /* not streamed: all of it */
    struct cv_buf logprobs; /* pieces of JSON, by kind of request */
    struct cv_buf tops;     /* completions: the list of top_logprobs */
    struct cv_buf offsets;  /* completions */
    struct cv_buf names;    /* completions: the tokens' texts */
    size_t n_text;          /* bytes of text so far */
    uint32_t n_token;
    const char *finish; /* NULL: it goes on */
};

struct answer;

/* One prompt: its n choices, and the scheduler's request that runs it. */
struct part {
    struct answer *answer;
    uint32_t first_choice;
    uint64_t id; /* under the lock; 0: not submitted */
    bool over;
    struct cv_buf echo;
};

struct answer {
    enum cv_ask_kind kind;
    struct cv_http_request *r;
    struct cv_scheduler *scheduler;
    const struct cv_served *model;
    bool stream, include_usage, logprobs, echo;
    char id[48];
    int64_t created;
    struct choice *choice;
    uint32_t n_choice;
    struct part *part;
    uint32_t n_part, n_over;
    uint32_t n_prompt, n_cached, n_generated;
    double prompt_ms, generate_ms;
    bool streaming; /* the head has been sent */
    bool cut;       /* nothing more can be written */
    bool failed;
    struct cv_error why;
    struct cv_buf out; /* scratch of one event */

    pthread_mutex_t lock; /* guards gone, the parts' ids, n_users; a leaf */
    bool gone;
    unsigned n_users; /* the submitting thread and the scheduler's requests */
};

static void answer_free(struct answer *a)
{
    for (uint32_t i = 0; a->choice != NULL && i < a->n_choice; i++) {
        struct choice *c = &a->choice[i];
        cv_buf_fini(&c->text);
        cv_buf_fini(&c->logprobs);
        cv_buf_fini(&c->tops);
        cv_buf_fini(&c->offsets);
        cv_buf_fini(&c->names);
    }
    for (uint32_t i = 0; a->part != NULL && i < a->n_part; i++)
        cv_buf_fini(&a->part[i].echo);
    cv_buf_fini(&a->out);
    pthread_mutex_destroy(&a->lock);
    cv_free(a->choice);
    cv_free(a->part);
    cv_free(a);
}

/* ---- JSON ---- */

static bool put_string(struct cv_buf *b, const char *s, size_t n)
{
    return cv_buf_putc(b, '"') && cv_buf_json(b, s, n) && cv_buf_putc(b, '"');
}

static bool put_head(struct answer *a, const char *object)
{
    return cv_buf_printf(&a->out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", a->id, object,
                         a->created) &&
           put_string(&a->out, a->model->id, strlen(a->model->id)) &&
           cv_buf_puts(&a->out, ",\"system_fingerprint\":\"caravan-" CARAVAN_VERSION "\"");
}

static bool put_usage(struct answer *a)
{
    return cv_buf_printf(&a->out,
                         "\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u,"
                         "\"prompt_tokens_details\":{\"cached_tokens\":%u},"
                         "\"completion_tokens_details\":{\"reasoning_tokens\":0}}",
                         a->n_prompt, a->n_generated, a->n_prompt + a->n_generated, a->n_cached);
}

static bool put_timings(struct answer *a)
{
    const uint32_t n_new = a->n_prompt - a->n_cached;
    return cv_buf_printf(&a->out,
                         ",\"timings\":{\"cache_n\":%u,\"prompt_n\":%u,\"prompt_ms\":%.3f,\"prompt_per_second\":%.2f,"
                         "\"predicted_n\":%u,\"predicted_ms\":%.3f,\"predicted_per_second\":%.2f}",
                         a->n_cached, n_new, a->prompt_ms, a->prompt_ms > 0 ? n_new / a->prompt_ms * 1000 : 0.0,
                         a->n_generated, a->generate_ms,
                         a->generate_ms > 0 && a->n_generated > 1 ? (a->n_generated - 1) / a->generate_ms * 1000 : 0.0);
}

/* A token's text: the part of its bytes that is whole characters. */
static struct cv_str token_text(const struct answer *a, int32_t id)
{
    struct cv_str s = cv_vocab_piece(a->model->vocab, id, true);
    s.n = cv_utf8_valid_prefix(s.p, s.n);
    return s;
}

static bool put_logprob(struct answer *a, struct cv_buf *b, const struct cv_token_logprob *t)
{
    const struct cv_str text = token_text(a, t->id), bytes = cv_vocab_piece(a->model->vocab, t->id, true);
    bool ok = cv_buf_puts(b, "{\"token\":") && put_string(b, text.p, text.n) &&
              cv_buf_printf(b, ",\"logprob\":%.6f,\"bytes\":[", (double)t->logprob);
    for (size_t i = 0; ok && i < bytes.n; i++)
        ok = cv_buf_printf(b, i > 0 ? ",%u" : "%u", (unsigned char)bytes.p[i]);
    return ok && cv_buf_putc(b, ']');
}

/* One entry of a chat's logprobs.content. */
static bool put_chat_logprobs(struct answer *a, struct cv_buf *b, const struct cv_gen_piece *p)
{
    bool ok = put_logprob(a, b, &p->token) && cv_buf_puts(b, ",\"top_logprobs\":[");
    for (uint32_t i = 0; ok && i < p->n_top; i++)
        ok = (i == 0 || cv_buf_putc(b, ',')) && put_logprob(a, b, &p->top[i]) && cv_buf_putc(b, '}');
    return ok && cv_buf_puts(b, "]}");
}

/* The four lists of a completion's logprobs, each an entry longer. */
static bool put_text_logprobs(struct answer *a, struct choice *c, const struct cv_gen_piece *p)
{
    const char *comma = c->n_token > 0 ? "," : "";
    const struct cv_str text = token_text(a, p->token.id);
    bool ok = cv_buf_puts(&c->names, comma) && put_string(&c->names, text.p, text.n) &&
              cv_buf_printf(&c->logprobs, "%s%.6f", comma, (double)p->token.logprob) &&
              cv_buf_printf(&c->offsets, "%s%zu", comma, c->n_text) && cv_buf_printf(&c->tops, "%s{", comma);
    for (uint32_t i = 0; ok && i < p->n_top; i++) {
        const struct cv_str top = token_text(a, p->top[i].id);
        ok = (i == 0 || cv_buf_putc(&c->tops, ',')) && put_string(&c->tops, top.p, top.n) &&
             cv_buf_printf(&c->tops, ":%.6f", (double)p->top[i].logprob);
    }
    return ok && cv_buf_putc(&c->tops, '}');
}

static const char *text_of(const struct cv_buf *b)
{
    return b->len > 0 ? b->data : "";
}

static bool put_collected_logprobs(struct answer *a, struct choice *c)
{
    if (!a->logprobs)
        return cv_buf_puts(&a->out, ",\"logprobs\":null");
    if (a->kind == CV_ASK_CHAT)
        return cv_buf_puts(&a->out, ",\"logprobs\":{\"content\":[") && cv_buf_puts(&a->out, text_of(&c->logprobs)) &&
               cv_buf_puts(&a->out, "],\"refusal\":null}");
    bool ok = cv_buf_puts(&a->out, ",\"logprobs\":{\"tokens\":[") && cv_buf_puts(&a->out, text_of(&c->names)) &&
              cv_buf_puts(&a->out, "],\"token_logprobs\":[") && cv_buf_puts(&a->out, text_of(&c->logprobs)) &&
              cv_buf_puts(&a->out, "],\"top_logprobs\":[") && cv_buf_puts(&a->out, text_of(&c->tops)) &&
              cv_buf_puts(&a->out, "],\"text_offset\":[") && cv_buf_puts(&a->out, text_of(&c->offsets)) &&
              cv_buf_puts(&a->out, "]}");
    return ok;
}

static void clear_collected(struct choice *c)
{
    cv_buf_clear(&c->logprobs);
    cv_buf_clear(&c->tops);
    cv_buf_clear(&c->offsets);
    cv_buf_clear(&c->names);
    c->n_token = 0;
}

/* ---- the stream ---- */

/* Sends a->out as one event. A client that cannot take it is cut off, and its requests are cancelled. */
static void send_event(struct answer *a, bool ok)
{
    if (a->cut)
        return;
    ok = ok && cv_buf_puts(&a->out, "\n\n") && cv_http_stream_write(a->r, a->out.data, a->out.len);
    cv_buf_clear(&a->out);
    if (ok)
        return;
    a->cut = true;
    pthread_mutex_lock(&a->lock);
    for (uint32_t i = 0; i < a->n_part; i++)
        if (a->part[i].id != 0 && !a->part[i].over)
            cv_scheduler_cancel(a->scheduler, a->part[i].id);
    pthread_mutex_unlock(&a->lock);
}

/* key: for a chat what stands before the text in "delta" (its last quote left open); NULL: an empty delta. */
static void send_chunk(struct answer *a, uint32_t choice, const char *key, const char *text, size_t n, const char *finish)
{
    struct choice *c = &a->choice[choice];
    cv_buf_clear(&a->out);
    bool ok = cv_buf_puts(&a->out, "data: ") &&
              put_head(a, a->kind == CV_ASK_CHAT ? "chat.completion.chunk" : "text_completion") &&
              cv_buf_printf(&a->out, ",\"choices\":[{\"index\":%u", choice);
    if (a->kind == CV_ASK_CHAT) {
        ok = ok && cv_buf_puts(&a->out, ",\"delta\":{");
        if (key != NULL)
            ok = ok && cv_buf_printf(&a->out, "%s\":", key) && put_string(&a->out, text, n);
        ok = ok && cv_buf_putc(&a->out, '}');
    } else {
        ok = ok && cv_buf_puts(&a->out, ",\"text\":") && put_string(&a->out, text, n);
    }
    ok = ok && put_collected_logprobs(a, c) &&
         (finish == NULL ? cv_buf_puts(&a->out, ",\"finish_reason\":null}]")
                         : cv_buf_printf(&a->out, ",\"finish_reason\":\"%s\"}]", finish));
    clear_collected(c);
    send_event(a, ok && cv_buf_putc(&a->out, '}'));
}

static void begin_stream(struct answer *a)
{
    if (a->streaming)
        return;
    a->streaming = true;
    cv_http_add_header(a->r, "Cache-Control", "no-cache");
    cv_http_add_header(a->r, "X-Accel-Buffering", "no");
    a->cut = !cv_http_stream_begin(a->r, 200, "text/event-stream; charset=utf-8");
    const bool logprobs = a->logprobs;
    a->logprobs = false; /* the role's chunk has none */
    for (uint32_t i = 0; a->kind == CV_ASK_CHAT && i < a->n_choice; i++)
        send_chunk(a, i, "\"role\":\"assistant\",\"content", "", 0, NULL);
    a->logprobs = logprobs;
}

/* ---- the scheduler's events ---- */

static void on_start(void *ctx)
{
    struct part *p = ctx;
    struct answer *a = p->answer;
    if (!a->stream)
        return;
    begin_stream(a);
    if (a->echo)
        for (uint32_t i = 0; i < a->n_choice / a->n_part; i++)
            send_chunk(a, p->first_choice + i, NULL, text_of(&p->echo), p->echo.len, NULL);
}

static void on_piece(void *ctx, const struct cv_gen_piece *piece)
{
    struct part *p = ctx;
    struct answer *a = p->answer;
    const uint32_t index = p->first_choice + piece->choice;
    struct choice *c = &a->choice[index];
    bool ok = true;
    if (a->logprobs && piece->has_token) {
        if (a->kind == CV_ASK_CHAT)
            ok = (c->n_token == 0 || cv_buf_putc(&c->logprobs, ',')) && put_chat_logprobs(a, &c->logprobs, piece);
        else
            ok = put_text_logprobs(a, c, piece);
        c->n_token++;
    }
    c->n_text += piece->n_text;
    if (!a->stream)
        ok = ok && cv_buf_append(&c->text, piece->text, piece->n_text);
    else if (ok && (piece->n_text > 0 || c->n_token > 0))
        send_chunk(a, index, "\"content", piece->text, piece->n_text, NULL);
    if (!ok && !a->failed) {
        a->failed = true;
        cv_fail(&a->why, CV_ERR_NOMEM, "no memory for the answer");
    }
}

static void on_finish(void *ctx, uint32_t choice, enum cv_finish why, const char *stop_string)
{
    struct part *p = ctx;
    struct answer *a = p->answer;
    (void)stop_string;
    struct choice *c = &a->choice[p->first_choice + choice];
    c->finish = why == CV_FINISH_LENGTH ? "length" : "stop";
    if (a->stream)
        send_chunk(a, p->first_choice + choice, NULL, "", 0, c->finish);
}

static void end_stream(struct answer *a)
{
    cv_buf_clear(&a->out);
    if (a->failed) {
        struct cv_api_error e;
        cv_api_from(&e, &a->why);
        send_event(a, cv_buf_puts(&a->out, "data: ") && cv_api_error_json(&e, &a->out));
    } else {
        if (a->include_usage)
            send_event(a, cv_buf_puts(&a->out, "data: ") &&
                              put_head(a, a->kind == CV_ASK_CHAT ? "chat.completion.chunk" : "text_completion") &&
                              cv_buf_puts(&a->out, ",\"choices\":[],") && put_usage(a) && put_timings(a) &&
                              cv_buf_putc(&a->out, '}'));
        send_event(a, cv_buf_puts(&a->out, "data: [DONE]"));
    }
    cv_http_stream_end(a->r);
}

static void reply_whole(struct answer *a)
{
    cv_buf_clear(&a->out);
    bool ok = put_head(a, a->kind == CV_ASK_CHAT ? "chat.completion" : "text_completion") &&
              cv_buf_puts(&a->out, ",\"choices\":[");
    for (uint32_t i = 0; ok && i < a->n_choice; i++) {
        struct choice *c = &a->choice[i];
        const struct part *p = &a->part[i / (a->n_choice / a->n_part)];
        ok = cv_buf_printf(&a->out, "%s{\"index\":%u", i > 0 ? "," : "", i);
        if (a->kind == CV_ASK_CHAT)
            ok = ok && cv_buf_puts(&a->out, ",\"message\":{\"role\":\"assistant\",\"content\":") &&
                 put_string(&a->out, text_of(&c->text), c->text.len) && cv_buf_puts(&a->out, ",\"refusal\":null}");
        else
            ok = ok && cv_buf_puts(&a->out, ",\"text\":\"") &&
                 (!a->echo || cv_buf_json(&a->out, text_of(&p->echo), p->echo.len)) &&
                 cv_buf_json(&a->out, text_of(&c->text), c->text.len) && cv_buf_putc(&a->out, '"');
        ok = ok && put_collected_logprobs(a, c) && cv_buf_printf(&a->out, ",\"finish_reason\":\"%s\"}", c->finish);
    }
    ok = ok && cv_buf_puts(&a->out, "],") && put_usage(a) && put_timings(a) && cv_buf_puts(&a->out, "}\n");
    if (ok) {
        cv_http_reply(a->r, 200, "application/json", a->out.data, a->out.len);
    } else {
        struct cv_api_error e;
        cv_api_refuse(&e, 500, NULL, "no memory for the answer");
        cv_api_reply_error(a->r, &e);
    }
}

static void finish_answer(struct answer *a)
{
    if (a->streaming) {
        end_stream(a);
    } else if (a->failed) {
        struct cv_api_error e;
        cv_api_from(&e, &a->why);
        cv_api_reply_error(a->r, &e);
    } else {
        reply_whole(a);
    }
}

/* One user less; the last one answers and frees. Not called with the lock held: answering waits for on_close. */
static void release(struct answer *a)
{
    pthread_mutex_lock(&a->lock);
    const bool last = --a->n_users == 0;
    pthread_mutex_unlock(&a->lock);
    if (!last)
        return;
    finish_answer(a);
    answer_free(a);
}

static void on_end(void *ctx, const struct cv_gen_usage *u, const struct cv_error *err)
{
    struct part *p = ctx;
    struct answer *a = p->answer;
    a->n_prompt += u->n_prompt;
    a->n_cached += u->n_cached;
    a->n_generated += u->n_generated;
    a->prompt_ms += u->prompt_ms;
    a->generate_ms += u->generate_ms;
    pthread_mutex_lock(&a->lock);
    if (err != NULL && !a->failed) {
        a->failed = true;
        a->why = *err;
    }
    p->over = true;
    pthread_mutex_unlock(&a->lock);
    release(a);
}

/* On the HTTP loop. The answer lives: it is freed only after the answering call has seen this return. */
static void on_close(void *ctx)
{
    struct answer *a = ctx;
    pthread_mutex_lock(&a->lock);
    a->gone = true;
    for (uint32_t i = 0; i < a->n_part; i++)
        if (a->part[i].id != 0 && !a->part[i].over)
            cv_scheduler_cancel(a->scheduler, a->part[i].id);
    pthread_mutex_unlock(&a->lock);
}

/* ---- the beginning ---- */

static void make_id(struct answer *a)
{
    static const char letter[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    unsigned char random[24] = {0};
    const char *prefix = a->kind == CV_ASK_CHAT ? "chatcmpl-" : "cmpl-";
    (void)cv_random_bytes(random, sizeof(random));
    size_t n = (size_t)snprintf(a->id, sizeof(a->id), "%s", prefix);
    for (size_t i = 0; i < sizeof(random); i++)
        a->id[n++] = letter[random[i] % (sizeof(letter) - 1)];
    a->id[n] = '\0';
}

static struct answer *answer_new(const struct cv_api_ask *ask, struct cv_http_request *r, const struct cv_served *m,
                                 struct cv_scheduler *scheduler)
{
    struct answer *a = cv_zalloc(sizeof(*a));
    if (a == NULL)
        return NULL;
    pthread_mutex_init(&a->lock, NULL);
    a->kind = ask->kind;
    a->r = r;
    a->scheduler = scheduler;
    a->model = m;
    a->stream = ask->stream;
    a->include_usage = ask->include_usage;
    a->logprobs = ask->logprobs;
    a->echo = ask->echo;
    a->created = cv_unix_s();
    a->n_part = cv_api_n_prompts(ask);
    a->n_choice = a->n_part * ask->n_choices;
    a->n_users = 1;
    make_id(a);
    cv_buf_init(&a->out, CV_MAX_HTTP_BODY * 2);
    a->choice = cv_calloc(a->n_choice, sizeof(*a->choice));
    a->part = cv_calloc(a->n_part, sizeof(*a->part));
    if (a->choice == NULL || a->part == NULL) {
        answer_free(a);
        return NULL;
    }
    for (uint32_t i = 0; i < a->n_choice; i++) {
        struct choice *c = &a->choice[i];
        cv_buf_init(&c->text, CV_MAX_HTTP_BODY);
        cv_buf_init(&c->logprobs, CV_MAX_HTTP_BODY);
        cv_buf_init(&c->tops, CV_MAX_HTTP_BODY);
        cv_buf_init(&c->offsets, CV_MAX_HTTP_BODY);
        cv_buf_init(&c->names, CV_MAX_HTTP_BODY);
    }
    for (uint32_t i = 0; i < a->n_part; i++) {
        a->part[i] = (struct part){.answer = a, .first_choice = i * ask->n_choices};
        cv_buf_init(&a->part[i].echo, CV_MAX_HTTP_BODY);
    }
    return a;
}

/* Submits part i. false: e says why not. */
static bool submit(struct answer *a, struct cv_gen *g, uint32_t i, struct cv_api_error *e)
{
    struct part *p = &a->part[i];
    struct cv_error err;
    uint64_t id;
    g->sink = (struct cv_gen_sink){.ctx = p, .start = on_start, .piece = on_piece, .finish = on_finish, .end = on_end};
    pthread_mutex_lock(&a->lock);
    a->n_users++;
    pthread_mutex_unlock(&a->lock);
    if (!cv_scheduler_submit(a->scheduler, g, &id, &err)) {
        pthread_mutex_lock(&a->lock);
        a->n_users--;
        pthread_mutex_unlock(&a->lock);
        if (err.code == CV_ERR_BUSY)
            cv_api_refuse(e, 429, "rate_limit_exceeded", "%s", err.msg);
        else
            cv_api_from(e, &err);
        cv_gen_free(g);
        return false;
    }
    pthread_mutex_lock(&a->lock);
    p->id = id;
    const bool cancel = a->gone && !p->over;
    pthread_mutex_unlock(&a->lock);
    if (cancel)
        cv_scheduler_cancel(a->scheduler, id);
    return true;
}

/* Every prompt is made before the first one is submitted, so that a bad one among many costs nothing. */
static bool make_gens(struct answer *a, const struct cv_api_ask *ask, struct cv_gen **gen, struct cv_api_error *e)
{
    for (uint32_t i = 0; i < a->n_part; i++) {
        struct cv_tokens t = {0};
        bool ok = cv_api_prompt(ask, i, a->model, &t, ask->echo ? &a->part[i].echo : NULL, e);
        if (ok && (gen[i] = cv_api_gen(ask, &t)) == NULL)
            ok = cv_api_refuse(e, 500, NULL, "out of memory");
        cv_tokens_free(&t);
        if (!ok)
            return false;
    }
    return true;
}

void cv_api_answer(const struct cv_api_ask *ask, struct cv_http_request *r, const struct cv_served *m,
                   struct cv_scheduler *scheduler)
{
    struct cv_api_error e;
    struct answer *a = answer_new(ask, r, m, scheduler);
    struct cv_gen **gen = a == NULL ? NULL : cv_calloc(a->n_part, sizeof(struct cv_gen *));
    bool ok = gen != NULL || cv_api_refuse(&e, 500, NULL, "out of memory");
    ok = ok && make_gens(a, ask, gen, &e);
    uint32_t n_submitted = 0;
    if (ok) {
        cv_http_on_close(r, on_close, a);
        while (ok && n_submitted < a->n_part) {
            ok = submit(a, gen[n_submitted], n_submitted, &e);
            gen[n_submitted++] = NULL; /* the scheduler's now, or freed */
        }
    }
    for (uint32_t i = 0; gen != NULL && i < a->n_part; i++)
        cv_gen_free(gen[i]);
    cv_free(gen);
    if (ok) {
        release(a);
    } else if (a == NULL || n_submitted <= 1) {
        cv_api_reply_error(r, &e); /* nothing is running */
        if (a != NULL)
            answer_free(a);
    } else { /* some run already: they end the answer */
        pthread_mutex_lock(&a->lock);
        a->failed = true;
        cv_fail(&a->why, CV_ERR_BUSY, "%.500s", e.message);
        pthread_mutex_unlock(&a->lock);
        on_close(a);
        release(a);
    }
}
