/*
 * output.h - a model file on its way to the disk: header, then the tensors' data in the order of the header.
 *
 * Written under another name and renamed at the end, so that nobody ever opens half a model.
 */
#ifndef CV_TOOLS_OUTPUT_H
#define CV_TOOLS_OUTPUT_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "gguf/gguf.h"

struct cv_output {
    FILE *f;
    char *path, *part_path;
    const struct cv_gguf_writer *writer; /* borrowed */
    uint64_t written;                    /* bytes */
};

/* Begins path with the writer's header. On failure nothing is left to close. */
bool cv_output_open(struct cv_output *o, const char *path, struct cv_gguf_writer *w, struct cv_error *err);
/* The data of the next tensor, padded to the alignment. */
bool cv_output_tensor(struct cv_output *o, const void *data, size_t n, struct cv_error *err);
/* Gives the file its name. */
bool cv_output_finish(struct cv_output *o, struct cv_error *err);
void cv_output_close(struct cv_output *o); /* what was not finished is removed; a zeroed one is fine */

#endif
