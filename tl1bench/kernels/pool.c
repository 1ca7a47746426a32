/* The largest of each two by two pixels where images lie side by side, and which of the four it
   was: the first of equal ones, the last NaN where there are some, as torch chooses. */

#include "maps.h"

static inline void better(float v, unsigned char at, float *best, unsigned char *which) {
    int wins = v > *best || v != v;
    *best = wins ? v : *best;
    *which = wins ? at : *which;
}

/* In x the other pixels are `right` and `down` of the first. */
static void choose(
    const float *x, long right, long down, float *restrict y, unsigned char *restrict which,
    long count
) {
    for (long n = 0; n < count; n++) {
        float best = x[n];
        unsigned char first = 0;
        better(x[n + right], 1, &best, &first);
        better(x[n + down], 2, &best, &first);
        better(x[n + down + right], 3, &best, &first);
        y[n] = best, which[n] = first;
    }
}

static void send(
    float *restrict dx, long right, long down, const float *restrict dy,
    const unsigned char *restrict which, long count
) {
    float *restrict beside = dx + right, *restrict below = dx + down;
    float *restrict last = dx + down + right;
    for (long n = 0; n < count; n++) {
        int chosen = which[n];
        float v = dy[n];
        dx[n] = chosen == 0 ? v : 0;
        beside[n] = chosen == 1 ? v : 0;
        below[n] = chosen == 2 ? v : 0;
        last[n] = chosen == 3 ? v : 0;
    }
}

static long place(const struct maps *m, long c, long i, long j) {
    return c * m->step[1] + i * m->step[2] + j * m->step[3];
}

/* y and `which` lie alike; images are neighbours in all. */
void pool_forward(
    const struct maps *xs, const struct maps *ys, const float *x, float *y, unsigned char *which
) {
    for (long c = 0; c < ys->size[1]; c++)
        for (long i = 0; i < ys->size[2]; i++)
            for (long j = 0; j < ys->size[3]; j++) {
                long to = place(ys, c, i, j);
                choose(x + place(xs, c, 2 * i, 2 * j), xs->step[3], xs->step[2], y + to, which + to,
                       ys->size[0]);
            }
}

/* dx is written but for the last row and column of odd sizes. */
void pool_backward(
    const struct maps *xs, const struct maps *ys, float *dx, const float *dy,
    const unsigned char *which
) {
    for (long c = 0; c < ys->size[1]; c++)
        for (long i = 0; i < ys->size[2]; i++)
            for (long j = 0; j < ys->size[3]; j++) {
                long from = place(ys, c, i, j);
                send(dx + place(xs, c, 2 * i, 2 * j), xs->step[3], xs->step[2], dy + from,
                     which + from, ys->size[0]);
            }
}
