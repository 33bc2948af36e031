#include "base/size.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool cv_size_parse(const char *text, uint64_t *bytes, struct cv_error *err)
{
    static const char unit[] = "KMGTP";
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (end == text || errno != 0 || !isfinite(v) || v < 0 || strchr("0123456789.", text[0]) == NULL)
        return cv_fail(err, CV_ERR_ARG, "'%s' is not a size (write for example 512M or 3.5G)", text);
    while (*end == ' ')
        end++;
    if (*end != '\0' && strcasecmp(end, "B") != 0) {
        const char *u = strchr(unit, *end & ~0x20);
        if (u == NULL || (end[1] != '\0' && strcasecmp(end + 1, "B") != 0 && strcasecmp(end + 1, "iB") != 0))
            return cv_fail(err, CV_ERR_ARG, "'%s' is not a size: unknown unit '%s' (K, M, G, T)", text, end);
        v = ldexp(v, 10 * (int)(u - unit + 1));
    }
    if (v >= 9.0e18)
        return cv_fail(err, CV_ERR_ARG, "'%s' is too large a size", text);
    *bytes = (uint64_t)v;
    return true;
}

const char *cv_size_format(uint64_t bytes, char *out)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    unsigned u = 0;
    while (v >= 1023.5 && u < 6) {
        v /= 1024;
        u++;
    }
    snprintf(out, CV_SIZE_TEXT, u == 0 || v >= 99.95 ? "%.0f %s" : "%.1f %s", v, unit[u]);
    return out;
}
