/*
 * api_answer.h - from the scheduler's events to what the client reads: one JSON object, or a stream of events.
 *
 * An answer belongs to one HTTP request and may stand on several requests of the scheduler (one for each prompt). The
 * scheduler's thread writes it; the HTTP loop only tells that the client went away.
 */
#ifndef CV_COORDINATOR_API_ANSWER_H
#define CV_COORDINATOR_API_ANSWER_H

#include "coordinator/api_ask.h"
#include "coordinator/scheduler.h"
#include "net/http_server.h"


/*
 * Submits everything that a asks for and answers r when it is done, or as it comes. Answers r in every case, with an
 * error if need be. Takes r; a stays the caller's.
 */
void cv_api_answer(const struct cv_api_ask *a, struct cv_http_request *r, const struct cv_served *m,
                   struct cv_scheduler *scheduler);

#endif
