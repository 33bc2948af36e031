/* served.h - a model as the coordinator knows it, made in memory: a small vocabulary, a chat template, no weights. */
#ifndef CV_TESTS_COORDINATOR_SERVED_H
#define CV_TESTS_COORDINATOR_SERVED_H

#include "coordinator/model.h"

enum { SERVED_CTX = 256, SERVED_SLOTS = 4, SERVED_BATCH = 32 };

/* Zeroes *out first. false: err says why; to be freed either way. */
bool served_init(struct cv_served *out, struct cv_error *err);
void served_fini(struct cv_served *m);

#endif
