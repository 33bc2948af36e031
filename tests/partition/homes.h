/*
 * homes.h - clusters as people have them: a model of usual shape and three to ten machines out of a list of kinds. The
 * figures of the kinds are round numbers of their class, not measurements.
 */
#ifndef CV_TESTS_PARTITION_HOMES_H
#define CV_TESTS_PARTITION_HOMES_H

#include "tests/partition/random_cluster.h"

/* A random home. */
void home_random(struct random_cluster *r, uint64_t seed);

/* Named ones. */
enum { HOME_NAMED = 4 };
const char *home_name(int which);
void home_named(struct random_cluster *r, int which);

#endif
