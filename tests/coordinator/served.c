#include "tests/coordinator/served.h"

#include <string.h>

#include "base/mem.h"
#include "tests/text/small_vocab.h"

static const char template_source[] =
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% for c in m.tool_calls or [] %}[{{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}"
    "{% if m.name %}({{ m.name }}){% endif %}{{ eos_token }}{% endfor %}"
    "{% for t in tools or [] %}{{ t.function.name }};{% endfor %}"
    "{% if style %}{{ style }}{% endif %}{% if add_generation_prompt %}<|assistant|>{% endif %}";

bool served_init(struct cv_served *out, struct cv_error *err)
{
    const struct small_vocab_options options = {.special = {"<|endoftext|>", "<|bos|>"}, .special_type = {3, 3}};
    *out = (struct cv_served){.n_ctx = SERVED_CTX, .n_slots = SERVED_SLOTS, .n_batch = SERVED_BATCH};
    out->vocab = small_vocab(&options, err);
    if (out->vocab == NULL || !cv_template_new(&out->chat, template_source, strlen(template_source), err))
        return false;
    out->hparams.n_vocab = cv_vocab_size(out->vocab);
    out->id = cv_strdup("small");
    out->path = cv_strdup("small.gguf");
    out->bos_text = cv_strdup("<|bos|>");
    out->eos_text = cv_strdup("<|endoftext|>");
    return (out->id != NULL && out->path != NULL && out->bos_text != NULL && out->eos_text != NULL) ||
           cv_fail(err, CV_ERR_NOMEM, "out of memory");
}

void served_fini(struct cv_served *m)
{
    cv_template_free(m->chat);
    cv_vocab_free(m->vocab);
    cv_free(m->id);
    cv_free(m->path);
    cv_free(m->bos_text);
    cv_free(m->eos_text);
}
