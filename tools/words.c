#include "tools/words.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Written for this purpose: many common words, each with its usual endings. */
static const char page[] =
    "The old captain of the caravan said that nobody should carry the whole load alone. When the road is long, you "
    "share "
    "what you have: one animal takes the water, another takes the tents, a third carries the food and the books. Each "
    "of "
    "them walks at its own speed, and the line is as fast as the slowest of them. So a good leader looks at all of "
    "them "
    "in the morning, asks how strong they are today, and then decides who gets which part. If one of them falls ill, "
    "the "
    "others stop, divide its load again, and go on from the same place. Nothing is lost, because somebody wrote down "
    "what "
    "was where. People who see the caravan from the outside think it is a single creature, and in a way they are "
    "right. "
    "It answers with one voice. You can ask it a question in the evening, and it will tell you a story about "
    "mountains, "
    "rivers, cities and the sea; about children who learn to read, about machines that learn to speak, about small "
    "computers in a kitchen that work together like friends. Some stories are true and some are only beautiful. What "
    "matters most is that everyone can hear them without paying for a palace. This is how we understand the work: make "
    "it "
    "simple, make it right, then make it quick. Write what you mean, test what you write, and measure before you "
    "believe. "
    "There are days when everything seems difficult, when the wind blows against us and the numbers do not agree. Then "
    "we "
    "look for the place where two things that should be equal are different, and usually we find it there. The first "
    "answer is often wrong, the second is better, and the third one might be worth keeping. Please help yourself to "
    "some "
    "bread, sit near the fire, and begin wherever you like. Yes, no, maybe, hello, thank you, good night. I would have "
    "been here before, but they could not have come after him; she said her name just now, over many years, between "
    "these "
    "houses, under new light, through another country, against all time. It was made from nothing but words, letters, "
    "sounds, colours: red, green, blue, white, black. One, two, three, four, five, six, seven, eight, nine, ten. What "
    "is "
    "your question? How does the weather change? Why do birds sing? Where did everybody go? Which number comes next? "
    "The "
    "network connects them, the model predicts a token, the token becomes a word, the word finds its sentence. ";

static const char chat_template[] =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

enum { MAX_WORDS = 1024, MAX_WORD = 24 };

/* A word as tokens. Equal words are one entry with a count. */
struct word {
    uint32_t token[MAX_WORD];
    uint32_t n, count;
};

/* The character that stands for a byte in vocabularies of this kind: itself if it is printable, else 256 and up. */
static uint32_t char_of_byte(unsigned byte)
{
    uint32_t next = 256;
    for (unsigned b = 0; b <= byte; b++) {
        const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (b == byte)
            return printable ? b : next;
        next += !printable;
    }
    return next;
}

static bool add_token(struct cv_words *v, const char *s, size_t n, int32_t type, bool plain, struct cv_arena *arena)
{
    char *copy = cv_arena_strndup(arena, s, n);
    if (copy == NULL)
        return false;
    v->token[v->n] = (struct cv_str){copy, n};
    v->type[v->n] = type;
    v->plain[v->n++] = plain;
    return true;
}

static bool add_bytes(struct cv_words *v, struct cv_arena *arena)
{
    for (unsigned b = 0; b < 256; b++) {
        char utf8[4];
        const size_t n = cv_utf8_encode(char_of_byte(b), utf8);
        if (!add_token(v, utf8, n, 1, (b >= ' ' && b <= '~') || b == '\n', arena))
            return false;
    }
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The page cut as the pre-tokenizer would: runs of letters with the space before them; the rest does not merge. */
static uint32_t cut_words(struct word *word)
{
    uint32_t n = 0;
    for (const char *p = page; *p != '\0';) {
        struct word w = {.count = 1};
        const char *q = p + (*p == ' ' && is_letter(p[1]));
        if (!is_letter(*q)) {
            p++;
            continue;
        }
        while (is_letter(*q) && q - p < MAX_WORD)
            q++;
        for (; p < q; p++)
            w.token[w.n++] = (unsigned char)*p;
        uint32_t i = 0;
        while (i < n && (word[i].n != w.n || memcmp(word[i].token, w.token, w.n * sizeof(*w.token)) != 0))
            i++;
        if (i < n)
            word[i].count++;
        else if (n < MAX_WORDS)
            word[n++] = w;
    }
    return n;
}

/* How often each pair of tokens stands side by side: an open table, filled anew for every merge. */
struct pair_count {
    uint64_t pair; /* left << 32 | right */
    uint32_t count;
};

enum { TABLE = 32768 }; /* more than there are characters on the page */

/* The pair that stands most often side by side; of equals the one with the lowest tokens. false: no pair is left. */
static bool best_pair(const struct word *word, uint32_t n_word, struct pair_count *table, uint32_t pair[2])
{
    struct pair_count best = {0, 0};
    memset(table, 0, TABLE * sizeof(*table));
    for (uint32_t i = 0; i < n_word; i++) {
        for (uint32_t k = 0; k + 1 < word[i].n; k++) {
            const uint64_t key = (uint64_t)word[i].token[k] << 32 | word[i].token[k + 1];
            uint32_t at = (uint32_t)(key * 0x9E3779B97F4A7C15u >> 49);
            while (table[at].count != 0 && table[at].pair != key)
                at = (at + 1) % TABLE;
            table[at].pair = key;
            table[at].count += word[i].count;
            if (table[at].count > best.count || (table[at].count == best.count && key < best.pair))
                best = table[at];
        }
    }
    pair[0] = (uint32_t)(best.pair >> 32);
    pair[1] = (uint32_t)best.pair;
    return best.count > 0;
}

static void join_pair(struct word *w, const uint32_t pair[2], uint32_t joined)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < w->n; k++) {
        if (k + 1 < w->n && w->token[k] == pair[0] && w->token[k + 1] == pair[1]) {
            w->token[n++] = joined;
            k++;
        } else {
            w->token[n++] = w->token[k];
        }
    }
    w->n = n;
}

/* Byte-pair encoding (Sennrich, Haddow, Birch 2016) until there are enough tokens or no pair is left. */
static bool add_merges(struct cv_words *v, uint32_t n, struct cv_arena *arena)
{
    struct word *word = cv_arena_calloc(arena, MAX_WORDS, sizeof(*word));
    struct pair_count *table = cv_arena_alloc(arena, TABLE * sizeof(*table));
    if (word == NULL || table == NULL)
        return false;
    const uint32_t n_word = cut_words(word);
    for (uint32_t pair[2]; v->n < n && best_pair(word, n_word, table, pair);) {
        const struct cv_str a = v->token[pair[0]], b = v->token[pair[1]];
        char text[2 * 4 * MAX_WORD + 2];
        const int joined = snprintf(text, sizeof(text), "%s%s", a.p, b.p);
        if (!add_token(v, text, (size_t)joined, 1, true, arena))
            return false;
        const int merge = snprintf(text, sizeof(text), "%s %s", a.p, b.p);
        char *copy = cv_arena_strndup(arena, text, (size_t)merge);
        if (copy == NULL)
            return false;
        v->merge[v->n_merge++] = (struct cv_str){copy, (size_t)merge};
        for (uint32_t i = 0; i < n_word; i++)
            join_pair(&word[i], pair, v->n - 1);
    }
    return true;
}

static bool add_rest(struct cv_words *v, uint32_t n, struct cv_arena *arena)
{
    static const char *const special[3] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    v->end_of_text = v->n;
    v->im_start = v->n + 1;
    v->im_end = v->n + 2;
    for (int i = 0; i < 3; i++)
        if (!add_token(v, special[i], strlen(special[i]), 3, false, arena))
            return false;
    while (v->n < n) {
        char text[32];
        const int len = snprintf(text, sizeof(text), "[UNUSED%u]", v->n);
        if (!add_token(v, text, (size_t)len, 5, false, arena))
            return false;
    }
    return true;
}

bool cv_words_make(struct cv_words *out, uint32_t n, struct cv_arena *arena, struct cv_error *err)
{
    struct cv_words v = {.token = cv_arena_calloc(arena, n, sizeof(*v.token)),
                         .type = cv_arena_calloc(arena, n, sizeof(*v.type)),
                         .plain = cv_arena_calloc(arena, n, sizeof(*v.plain)),
                         .merge = cv_arena_calloc(arena, n, sizeof(*v.merge))};
    if (v.token == NULL || v.type == NULL || v.plain == NULL || v.merge == NULL || !add_bytes(&v, arena) ||
        !add_merges(&v, n - 3, arena) || !add_rest(&v, n, arena))
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    *out = v;
    return true;
}

bool cv_words_put(const struct cv_words *v, struct cv_gguf_writer *w, struct cv_error *err)
{
    return cv_gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4, err) &&
           cv_gguf_put_str(w, "tokenizer.ggml.pre", "gpt-2", 5, err) &&
           cv_gguf_put_strings(w, "tokenizer.ggml.tokens", v->token, v->n, err) &&
           cv_gguf_put_array(w, "tokenizer.ggml.token_type", CV_GGUF_I32, v->type, v->n, err) &&
           cv_gguf_put_strings(w, "tokenizer.ggml.merges", v->merge, v->n_merge, err) &&
           cv_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", v->end_of_text, err) &&
           cv_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", v->im_end, err) &&
           cv_gguf_put_u32(w, "tokenizer.ggml.padding_token_id", v->end_of_text, err) &&
           cv_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false, err) &&
           cv_gguf_put_str(w, "tokenizer.chat_template", chat_template, sizeof(chat_template) - 1, err);
}
