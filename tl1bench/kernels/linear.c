/* A linear layer few of whose weights are not zero: y[n, o] = b[o] + sum over c of W[o, c] x[n, c].
   Examples lie side by side, so that a weight, read once, meets up to MOST * LANES of them, whose
   sums stay in registers. */
#include <stdint.h>

#define LANES 16
#define MOST 8

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

/* The weights of row o that are multiplied are in the columns from column[first[o]] on; `side` is the
   number of examples, rounded up to a multiple of LANES. */
struct linear { long examples, side, in, out; const int32_t *first, *column; };

static inline lanes read(const float *at) {
    lanes v;
    __builtin_memcpy(&v, at, sizeof v);
    return v;
}

static inline void write(float *at, lanes v) {
    __builtin_memcpy(at, &v, sizeof v);
}

/* Whether one of eight numbers is not zero, of either sign. */
static inline int any(const float *at) {
    uint64_t two[4];
    __builtin_memcpy(two, at, sizeof two);
    return (((two[0] | two[1]) | (two[2] | two[3])) & 0x7fffffff7fffffffu) != 0;
}

/* List what is not zero; `count` is -1 where that is more than `limit`. `column` has room for one row
   more than that. */
void linear_places(
    const float *restrict weight, long out, long in, long limit, int32_t *restrict first,
    int32_t *restrict column, long *count
) {
    long found = 0;
    for (long o = 0; o < out && found <= limit; o++, weight += in) {
        first[o] = (int32_t)found;
        long c = 0;
        for (; c + 8 <= in; c += 8)
            if (any(weight + c))
                for (long k = c; k < c + 8; k++) {
                    column[found] = (int32_t)k;
                    found += weight[k] != 0;
                }
        for (; c < in; c++)
            if (weight[c] != 0)
                column[found++] = (int32_t)c;
    }
    first[out] = (int32_t)found;
    *count = found <= limit ? found : -1;
}

/* Lay examples side by side, `step` and `next` being the steps to the next one and to the next column.
   Sixteen columns at a time: the lines of memory that they share are read once. */
void linear_turned(
    const struct linear *l, const float *restrict x, long columns, long step, long next,
    float *restrict to
) {
    for (long c = 0; c < columns; c += LANES) {
        long many = columns - c < LANES ? columns - c : LANES;
        for (long n = 0; n < l->examples; n++)
            for (long k = 0; k < many; k++)
                to[(c + k) * l->side + n] = x[n * step + (c + k) * next];
        for (long k = 0; k < many; k++)
            for (long n = l->examples; n < l->side; n++)
                to[(c + k) * l->side + n] = 0;
    }
}

static void turn_back(const struct linear *l, const float *restrict room, long columns, float *restrict to) {
    for (long c = 0; c < columns; c += LANES) {
        long many = columns - c < LANES ? columns - c : LANES;
        for (long n = 0; n < l->examples; n++)
            for (long k = 0; k < many; k++)
                to[n * columns + c + k] = room[(c + k) * l->side + n];
    }
}

/* Do `part` for all examples, with as many vectors at once as there are: the compiler keeps them in
   registers where it knows their number. */
#define FOR_ALL(l, part, ...) \
    for (long b = 0, rest; (rest = ((l)->side - b) / LANES) > 0;) { \
        if (rest >= MOST) part(l, b, MOST, __VA_ARGS__), b += MOST * LANES; \
        else if (rest >= MOST / 2) part(l, b, MOST / 2, __VA_ARGS__), b += MOST / 2 * LANES; \
        else part(l, b, 1, __VA_ARGS__), b += LANES; \
    }
#define PART static inline __attribute__((always_inline)) void

PART forward_part(
    const struct linear *l, long b, long many, const float *restrict x,
    const float *restrict weight, const float *restrict bias, float *restrict y
) {
    for (long o = 0; o < l->out; o++) {
        lanes sum[MOST] = {{0}};
        for (long k = 0; k < many; k++)
            sum[k] += bias ? bias[o] : 0;
        for (long e = l->first[o]; e < l->first[o + 1]; e++) {
            const float *from = x + l->column[e] * l->side + b;
            float w = weight[o * l->in + l->column[e]];
            for (long k = 0; k < many; k++)
                sum[k] += w * read(from + k * LANES);
        }
        for (long k = 0; k < many; k++)
            write(y + o * l->side + b + k * LANES, sum[k]);
    }
}

/* y from x side by side; `room` has out * side numbers. */
void linear_forward(
    const struct linear *l, const float *x, const float *weight, const float *bias, float *room,
    float *y
) {
    FOR_ALL(l, forward_part, x, weight, bias, room)
    turn_back(l, room, l->out, y);
}

PART inputs_part(
    const struct linear *l, long b, long many, const float *restrict dy,
    const float *restrict weight, float *restrict dx
) {
    for (long o = 0; o < l->out; o++) {
        lanes here[MOST];
        for (long k = 0; k < many; k++)
            here[k] = read(dy + o * l->side + b + k * LANES);
        for (long e = l->first[o]; e < l->first[o + 1]; e++) {
            float *to = dx + l->column[e] * l->side + b;
            float w = weight[o * l->in + l->column[e]];
            for (long k = 0; k < many; k++)
                write(to + k * LANES, read(to + k * LANES) + w * here[k]);
        }
    }
}

/* dx from dy side by side; `room` has in * side numbers. */
void linear_inputs(
    const struct linear *l, const float *dy, const float *weight, float *room, float *dx
) {
    for (long i = 0; i < l->in * l->side; i++)
        room[i] = 0;
    FOR_ALL(l, inputs_part, dy, weight, room)
    turn_back(l, room, l->in, dx);
}

/* In pairs: a sum of neighbours one by one would wait for each. */
static inline float sum_of(lanes v) {
    float a[LANES];
    __builtin_memcpy(a, &v, sizeof a);
    for (long half = LANES / 2; half; half /= 2)
        for (long k = 0; k < half; k++)
            a[k] += a[k + half];
    return a[0];
}

PART weights_part(
    const struct linear *l, long b, long many, const float *restrict x, const float *restrict dy,
    float *restrict dweight
) {
    for (long o = 0; o < l->out; o++) {
        lanes here[MOST];
        for (long k = 0; k < many; k++)
            here[k] = read(dy + o * l->side + b + k * LANES);
        for (long e = l->first[o]; e < l->first[o + 1]; e++) {
            const float *from = x + l->column[e] * l->side + b;
            lanes sum = here[0] * read(from);
            for (long k = 1; k < many; k++)
                sum += here[k] * read(from + k * LANES);
            dweight[o * l->in + l->column[e]] += sum_of(sum);
        }
    }
}

/* dW where weights are multiplied, from x and dy side by side; it is zero where it comes in. */
void linear_weights(const struct linear *l, const float *x, const float *dy, float *dweight) {
    FOR_ALL(l, weights_part, x, dy, dweight)
}
