/* clock.h - time. Monotonic for durations; the wall clock only for what people and protocols read. */
#ifndef CV_BASE_CLOCK_H
#define CV_BASE_CLOCK_H

#include <stdint.h>

uint64_t cv_now_ns(void); /* monotonic */
uint64_t cv_now_ms(void); /* monotonic */
int64_t cv_unix_s(void);  /* wall clock, seconds since 1970 */
void cv_sleep_ms(uint32_t ms);

#endif
