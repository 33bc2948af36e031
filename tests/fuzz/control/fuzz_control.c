/* fuzz_control.c - control messages: what is let through is encoded again and must be let through again. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "proto/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_arena arena = {.max_bytes = 64 << 20};
    struct cv_buf buf;
    struct cv_ctl_request request, request2;
    struct cv_ctl_reply reply, reply2;
    struct cv_error err;
    cv_buf_init(&buf, CV_MAX_CALL_BYTES);
    if (cv_ctl_request_decode(&request, data, size, &arena, &err)) {
        if (!cv_ctl_request_encode(&request, &buf, &err) ||
            !cv_ctl_request_decode(&request2, buf.data, buf.len, &arena, &err) || request2.kind != request.kind)
            abort();
    } else if (err.msg[0] == '\0') {
        abort();
    }
    cv_buf_clear(&buf);
    if (cv_ctl_reply_decode(&reply, data, size, &arena, &err)) {
        if (!cv_ctl_reply_encode(&reply, &buf, &err) ||
            !cv_ctl_reply_decode(&reply2, buf.data, buf.len, &arena, &err) || reply2.kind != reply.kind)
            abort();
    } else if (err.msg[0] == '\0') {
        abort();
    }
    cv_buf_fini(&buf);
    cv_arena_fini(&arena);
    return 0;
}
