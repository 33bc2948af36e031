#include "proto/control.h"

#include <string.h>

const char *cv_ctl_kind_name(enum cv_ctl_kind kind)
{
    static const char *const name[] = {"?", "HELLO", "HEARTBEAT", "BYE", "LOAD", "LISTEN", "CONNECT", "DROP", "STATS"};
    return (unsigned)kind < CV_COUNT(name) ? name[kind] : "?";
}

const char *cv_node_state_name(enum cv_node_state state)
{
    static const char *const name[] = {"idle", "fetching", "loading", "loaded", "serving", "failed"};
    return (unsigned)state < CV_COUNT(name) ? name[state] : "?";
}

struct cv_ctl_reply cv_ctl_refuse(enum cv_ctl_kind kind, uint64_t session, const struct cv_error *why)
{
    return (struct cv_ctl_reply){
        .session = session, .kind = kind, .code = why->code != CV_OK ? why->code : CV_ERR_INTERNAL, .text = why->msg};
}

bool cv_ctl_reply_check(const struct cv_ctl_reply *r, enum cv_ctl_kind kind, struct cv_error *err)
{
    if (r->code != CV_OK)
        return cv_fail(err, r->code, "%s",
                       r->text != NULL && r->text[0] != '\0' ? r->text : "refused without a reason");
    if (r->kind != kind)
        return cv_fail(err, CV_ERR_PEER, "%s was answered as %s", cv_ctl_kind_name(kind), cv_ctl_kind_name(r->kind));
    return true;
}
