/* fuzz_template.c - any bytes as a chat template, rendered over a small fixed conversation. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "text/template.h"

/* Plain calls, as a coordinator makes them; what fails here is out of memory. */
static void put(struct cv_value map, const char *key, struct cv_value item)
{
    struct cv_error err;
    if (!cv_value_map_set(map, key, item, &err))
        abort();
}

static struct cv_value text(struct cv_values *v, const char *s)
{
    struct cv_value out;
    struct cv_error err;
    if (!cv_value_string(&out, v, s, strlen(s), &err))
        abort();
    return out;
}

static struct cv_value message(struct cv_values *v, const char *role, const char *content)
{
    struct cv_value map;
    struct cv_error err;
    if (!cv_value_map(&map, v, &err))
        abort();
    put(map, "role", text(v, role));
    put(map, "content", text(v, content));
    return map;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_error err;
    struct cv_template *t;
    struct cv_values *v;
    struct cv_value globals, messages;
    struct cv_buf out;
    if (!cv_template_new(&t, (const char *)data, size, &err)) {
        if (err.msg[0] == '\0')
            abort();
        return 0;
    }
    if (!cv_values_new(&v, 1 << 16, &err) || !cv_value_map(&globals, v, &err) || !cv_value_list(&messages, v, &err) ||
        !cv_value_list_add(messages, message(v, "system", "Be \u00e9 \"good\".\n"), &err) ||
        !cv_value_list_add(messages, message(v, "user", "Hello <World>"), &err))
        abort();
    put(globals, "messages", messages);
    put(globals, "tools", cv_value_null());
    put(globals, "add_generation_prompt", cv_value_bool(true));
    put(globals, "bos_token", text(v, "<s>"));
    put(globals, "n", cv_value_int(-7));
    put(globals, "x", cv_value_double(2.5));
    cv_buf_init(&out, 1 << 20);
    if (!cv_template_render(t, globals, 1773500966, &out, &err) && (err.msg[0] == '\0' || out.len != 0))
        abort();
    cv_buf_fini(&out);
    cv_values_free(v);
    cv_template_free(t);
    return 0;
}
