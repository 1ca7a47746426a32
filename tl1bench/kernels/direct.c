/* A convolution of a few channels with all of its weights, where images lie side by side: as many
   sums as registers hold grow at once, and no channel is made up to fill a vector.
     y[o, i, j, n] = b[o] + sum over c, k, l of w[o, c, k, l] * x[c, i + k, j + l, n] */

#include "rooms.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT ON
#else
#pragma GCC optimize("fp-contract=fast")
#endif

#if defined __AVX512F__
#define LANES 16
#define VECTORS 4
#define TAPS 4
#else
#if defined __AVX__
#define LANES 8
#else
#define LANES 4
#endif
#define VECTORS 2
#define TAPS 2
#endif
#define ROWS 6
#define CACHED (1 << 15) /* numbers that a core has near */

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

static inline lanes read(const float *at) {
    lanes v;
    __builtin_memcpy(&v, at, sizeof v);
    return v;
}

/* Weights [row, channel, k, l], where the first lies and the steps between them: backwards they
   are negative, and rows and channels change places. */
struct weights { long size[4], step[4], start; };

/* Weights in the order in which they are met: blocks of ROWS rows, k, channel, l, row. */
static void pack(const struct weights *w, const float *weight, float *to) {
    for (long r = 0; r < w->size[0]; r += ROWS)
        for (long k = 0; k < w->size[2]; k++)
            for (long c = 0; c < w->size[1]; c++)
                for (long l = 0; l < w->size[3]; l++)
                    for (long s = r; s < r + ROWS; s++)
                        *to++ = s < w->size[0]
                            ? weight[w->start + s * w->step[0] + c * w->step[1] + k * w->step[2]
                                     + l * w->step[3]]
                            : 0;
}

/* Taps of an axis that meet a pixel at all. */
struct reach { long first, end; };

static struct reach reached(long at, long taps, long border, long size) {
    struct reach r = {border - at, size + border - at};
    r.first = r.first < 0 ? 0 : r.first, r.end = r.end > taps ? taps : r.end;
    return r;
}

/* The compiler gets a copy of what follows for each number of rows. */
#define ALIKE static inline __attribute__((always_inline)) void
#define FOR_ROWS(count, call) do { \
    switch (count) { \
        case 1: { enum { rows = 1 }; call; } break; \
        case 2: { enum { rows = 2 }; call; } break; \
        case 3: { enum { rows = 3 }; call; } break; \
        case 4: { enum { rows = 4 }; call; } break; \
        case 5: { enum { rows = 5 }; call; } break; \
        default: { enum { rows = ROWS }; call; } \
    } \
} while (0)

/* One pixel of some rows of y. */
ALIKE add_up(
    int rows, const struct weights *w, const float *packed, const struct room *x, long i, long j,
    const long border[2], const float start[ROWS], float *const y[ROWS]
) {
    struct reach down = reached(i, w->size[2], border[0], x->height);
    struct reach right = reached(j, w->size[3], border[1], x->width);
    for (long n = 0; n < MANY; n += LANES * VECTORS) {
        lanes sum[ROWS][VECTORS];
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < VECTORS; v++)
                sum[r][v] = (lanes){0} + start[r];
        for (long k = down.first; k < down.end; k++)
            for (long c = 0; c < x->channels; c++) {
                const float *by = packed + ((k * x->channels + c) * w->size[3] + right.first) * ROWS;
                const float *from = x->at + n + c * x->step[0] + (i + k - border[0]) * x->step[1]
                    + (j + right.first - border[1]) * x->step[2];
                for (long l = right.first; l < right.end; l++, by += ROWS, from += x->step[2]) {
                    lanes in[VECTORS];
                    for (int v = 0; v < VECTORS; v++)
                        in[v] = read(from + v * LANES);
                    for (int r = 0; r < rows; r++)
                        for (int v = 0; v < VECTORS; v++)
                            sum[r][v] += by[r] * in[v];
                }
            }
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < VECTORS; v++)
                __builtin_memcpy(y[r] + n + v * LANES, &sum[r][v], sizeof(lanes));
    }
}

/* Every pixel of y. */
static void correlate(
    const struct weights *w, const float *packed, const float *bias, const struct room *x,
    const long border[2], const struct room *y
) {
    long area = y->height * y->width, block = w->size[1] * w->size[2] * w->size[3] * ROWS;
    for (long r = 0; r < w->size[0]; r += ROWS, packed += block) {
        long count = w->size[0] - r < ROWS ? w->size[0] - r : ROWS;
        float start[ROWS] = {0};
        for (long s = 0; bias && s < count; s++)
            start[s] = bias[r + s];
        for (long at = 0; at < area; at++) {
            long i = at / y->width, j = at % y->width;
            float *to[ROWS];
            for (long s = 0; s < count; s++)
                to[s] = y->at + (r + s) * y->step[0] + i * y->step[1] + j * y->step[2];
            FOR_ROWS(count, add_up(rows, w, packed, x, i, j, border, start, to));
        }
    }
}

static float total(lanes v) {
    float a[LANES];
    __builtin_memcpy(a, &v, sizeof a);
    for (long half = LANES / 2; half; half /= 2)
        for (long k = 0; k < half; k++)
            a[k] += a[k + half];
    return a[0];
}

/* What rows x TAPS weights' inputs and outputs have in common in a few rows of pixels. */
ALIKE multiply(
    int rows, const struct room *dy, const float *const out[ROWS], const struct room *x,
    const float *const in[TAPS], long first, long end, float found[ROWS][TAPS]
) {
    lanes sum[ROWS][TAPS] = {{{0}}};
    for (long i = first; i < end; i++)
        for (long j = 0; j < dy->width; j++) {
            long out_at = i * dy->step[1] + j * dy->step[2], in_at = i * x->step[1] + j * x->step[2];
            for (long n = 0; n < MANY; n += LANES) {
                lanes v[TAPS];
                for (int t = 0; t < TAPS; t++)
                    v[t] = read(in[t] + in_at + n);
                for (int r = 0; r < rows; r++) {
                    lanes d = read(out[r] + out_at + n);
                    for (int t = 0; t < TAPS; t++)
                        sum[r][t] += d * v[t];
                }
            }
        }
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < TAPS; t++)
            found[r][t] = total(sum[r][t]);
}

/* All taps meet a few rows of ROWS channels of dy, which stay in the cache, before the next. */
static void add_to_weights(
    const struct weights *w, const struct room *x, const struct room *dy, float *dweight
) {
    long taps = w->size[1] * w->size[2] * w->size[3], few = CACHED / (ROWS * dy->width * MANY);
    few = few < 1 ? 1 : few;
    for (long r = 0; r < w->size[0]; r += ROWS) {
        long count = w->size[0] - r < ROWS ? w->size[0] - r : ROWS;
        for (long i = 0; i < dy->height; i += few)
            for (long t = 0; t < taps; t += TAPS) {
                const float *out[ROWS], *in[TAPS];
                long place[TAPS];
                float found[ROWS][TAPS];
                for (long s = 0; s < count; s++)
                    out[s] = dy->at + (r + s) * dy->step[0];
                for (long s = 0; s < TAPS; s++) {
                    long e = t + s < taps ? t + s : t, l = e % w->size[3], k = e / w->size[3];
                    long c = k / w->size[2];
                    k %= w->size[2];
                    in[s] = x->at + c * x->step[0] + k * x->step[1] + l * x->step[2];
                    place[s] = c * w->step[1] + k * w->step[2] + l * w->step[3];
                }
                long end = i + few < dy->height ? i + few : dy->height;
                FOR_ROWS(count, multiply(rows, dy, out, x, in, i, end, found));
                for (long s = 0; s < count; s++)
                    for (long u = 0; u < TAPS && t + u < taps; u++)
                        dweight[(r + s) * w->step[0] + place[u]] += found[s][u];
            }
    }
}

void direct_lanes(long *lanes) { *lanes = LANES; }

void direct_forward(
    const struct weights *w, const long padding[2], const struct maps *xs, const struct maps *ys,
    float *x, const float *weight, const float *bias, float *y, float *room
) {
    float *side = room + room_size(xs, padding), *packed = side + room_size(ys, NOTHING);
    pack(w, weight, packed);
    for (long begin = 0; begin < xs->size[0]; begin += MANY) {
        struct room in = brought(xs, begin, padding, x, room);
        struct room out = images(ys, begin, NOTHING, y, side);
        correlate(w, packed, bias, &in, NOTHING, &out);
        bring_back(&out, ys, begin, NOTHING, y, side);
    }
}

/* `dweight` is zero where it comes in; `dx` may be null. */
void direct_backward(
    const struct weights *w, const long padding[2], const struct maps *xs, const struct maps *dys,
    const struct maps *dxs, float *x, const float *weight, float *dy, float *dx, float *dweight,
    float *room
) {
    struct weights back = {
        {w->size[1], w->size[0], w->size[2], w->size[3]},
        {w->step[1], w->step[0], -w->step[2], -w->step[3]},
        (w->size[2] - 1) * w->step[2] + (w->size[3] - 1) * w->step[3],
    };
    const long border[2] = {w->size[2] - 1, w->size[3] - 1};
    float *side = room + room_size(xs, padding), *packed = side + room_size(dys, NOTHING);
    if (dx)
        pack(&back, weight, packed);
    for (long begin = 0; begin < xs->size[0]; begin += MANY) {
        struct room in = brought(xs, begin, padding, x, room);
        struct room out = brought(dys, begin, NOTHING, dy, side);
        add_to_weights(w, &in, &out, dweight);
        if (dx) { /* in the room of x, which was needed for the weights alone */
            struct room to = images(dxs, begin, padding, dx, room);
            correlate(&back, packed, 0, &out, border, &to);
            bring_back(&to, dxs, begin, padding, dx, room);
        }
    }
}
