/* replay_main.c - runs a fuzz target over files and folders of inputs: the corpus and old findings, on every commit. */
#define _XOPEN_SOURCE 700
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned n_inputs;

static int replay(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)ftw;
    if (flag != FTW_F)
        return 0;
    FILE *f = fopen(path, "rb");
    /* exactly as large as the input, so that AddressSanitizer sees one byte too many */
    uint8_t *data = malloc(st->st_size > 0 ? (size_t)st->st_size : 1);
    if (f == NULL || data == NULL || fread(data, 1, (size_t)st->st_size, f) != (size_t)st->st_size) {
        fprintf(stderr, "%s: cannot read\n", path);
        exit(1);
    }
    fclose(f);
    LLVMFuzzerTestOneInput(data, (size_t)st->st_size);
    free(data);
    n_inputs++;
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (nftw(argv[i], replay, 16, FTW_PHYS) != 0) {
            fprintf(stderr, "%s: cannot walk\n", argv[i]);
            return 1;
        }
    }
    printf("%u inputs replayed\n", n_inputs);
    return n_inputs == 0;
}
