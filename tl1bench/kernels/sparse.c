/* A convolution (a linear layer is one of a single pixel) few of whose weights are not zero: only
   these are multiplied. A handful of images lie side by side, so that a weight meets a run of
   neighbouring numbers, n being the image:
     y[o, i, j, n] = b[o] + sum over the weights w of o of w * x[c, i s + k, j s + l, n] */

#define LANES 16
#define AT_ONCE 4

#include "side_by_side.h"

/* The weights of output channel o are those from first[o] to first[o + 1]. `place` is where a
   weight lies in its tensor, `offset` the pixel of the padded input that it meets first, `row` its
   output channel; `by_input` names all weights in the order of input channels. */
struct layer {
    long rows, count;
    const long *first, *place, *offset, *row, *by_pixel;
    long padding[2], stride[2];
    long handful; /* images side by side: a multiple of LANES */
};

static const long NOTHING[2] = {0, 0};

/* What a row of output pixels has in common: where it begins in y and in the padded x, how many
   numbers run on in both, and how many such runs there are, `jump` numbers of x apart. */
struct runs { long y, x, length, count, jump; };

static struct runs row_of(const struct layer *l, const struct maps *x, const struct maps *y, long i) {
    long n = l->handful, wide = y->size[3], padded = x->size[3] + 2 * l->padding[1];
    struct runs r = {i * wide * n, i * l->stride[0] * padded * n, n, wide, l->stride[1] * n};
    if (l->stride[1] == 1)
        r.length = wide * n, r.count = 1;
    return r;
}

static void add_four(
    float *restrict y, const float *a, const float *b, const float *c, const float *d,
    const float w[AT_ONCE], long length
) {
    for (long i = 0; i < length; i++)
        y[i] += (w[0] * a[i] + w[1] * b[i]) + (w[2] * c[i] + w[3] * d[i]);
}

static void add_one(float *restrict y, const float *x, float w, long length) {
    for (long i = 0; i < length; i++)
        y[i] += w * x[i];
}

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

static lanes read(const float *at) {
    lanes v;
    __builtin_memcpy(&v, at, sizeof v);
    return v;
}

/* In pairs: a sum of neighbours one by one would wait for each. */
static float sum(lanes v) {
    float a[LANES];
    __builtin_memcpy(a, &v, sizeof a);
    for (long half = LANES / 2; half; half /= 2)
        for (long k = 0; k < half; k++)
            a[k] += a[k + half];
    return a[0];
}

/* Add to dw the products of one run of dy with the runs of x that four weights meet. */
static void add_products(lanes dw[AT_ONCE], const float *dy, const float *const x[AT_ONCE], long length) {
    lanes a = dw[0], b = dw[1], c = dw[2], d = dw[3];
    for (long i = 0; i < length; i += LANES) {
        lanes v = read(dy + i);
        a += v * read(x[0] + i), b += v * read(x[1] + i);
        c += v * read(x[2] + i), d += v * read(x[3] + i);
    }
    dw[0] = a, dw[1] = b, dw[2] = c, dw[3] = d;
}

void sparse_forward(
    const struct layer *l, const struct maps *xs, const struct maps *ys, float *x,
    const float *weight, const float *bias, float *y, float *room
) {
    long n = l->handful, out = ys->size[2] * ys->size[3] * n;
    float *side = room + xs->size[1] * plane(xs, l->padding) * n;
    for (long begin = 0; begin < xs->size[0]; begin += n) {
        move_images(xs, begin, n, l->padding, x, room, 0);
        for (long o = 0; o < l->rows; o++) {
            float *to = side + o * out;
            for (long i = 0; i < out; i++)
                to[i] = bias ? bias[o] : 0;
            long e = l->first[o], end = l->first[o + 1];
            for (; e < end; e += e + AT_ONCE <= end ? AT_ONCE : 1) {
                float w[AT_ONCE];
                const float *from[AT_ONCE];
                int four = e + AT_ONCE <= end;
                for (long k = 0; k < (four ? AT_ONCE : 1); k++) {
                    w[k] = weight[l->place[e + k]];
                    from[k] = room + l->offset[e + k] * n;
                }
                for (long i = 0; i < ys->size[2]; i++) {
                    struct runs r = row_of(l, xs, ys, i);
                    for (long j = 0; j < r.count; j++) {
                        float *at = to + r.y + j * r.length;
                        long x_at = r.x + j * r.jump;
                        if (four)
                            add_four(at, from[0] + x_at, from[1] + x_at, from[2] + x_at,
                                     from[3] + x_at, w, r.length);
                        else
                            add_one(at, from[0] + x_at, w[0], r.length);
                    }
                }
            }
        }
        move_images(ys, begin, n, NOTHING, y, side, 1);
    }
}

/* dx, where it is asked for: each weight sends back what came to its output. */
static void send_back(
    const struct layer *l, const struct maps *xs, const struct maps *ys, const float *weight,
    const float *dy, float *restrict dx
) {
    long n = l->handful, out = ys->size[2] * ys->size[3] * n;
    for (long i = 0; i < xs->size[1] * plane(xs, l->padding) * n; i++)
        dx[i] = 0;
    for (long at = 0, many; at < l->count; at += many) {
        const long *e = l->by_pixel + at;
        for (many = 1; many < AT_ONCE && at + many < l->count; many++)
            if (l->offset[e[many]] != l->offset[e[0]])
                break;
        many = many == AT_ONCE ? many : 1;
        float w[AT_ONCE];
        const float *from[AT_ONCE];
        for (long k = 0; k < many; k++) {
            w[k] = weight[l->place[e[k]]];
            from[k] = dy + l->row[e[k]] * out;
        }
        for (long i = 0; i < ys->size[2]; i++) {
            struct runs r = row_of(l, xs, ys, i);
            for (long j = 0; j < r.count; j++) {
                float *to = dx + l->offset[e[0]] * n + r.x + j * r.jump;
                long y_at = r.y + j * r.length;
                if (many == AT_ONCE)
                    add_four(to, from[0] + y_at, from[1] + y_at, from[2] + y_at, from[3] + y_at,
                             w, r.length);
                else
                    add_one(to, from[0] + y_at, w[0], r.length);
            }
        }
    }
}

static void add_to_weights(
    const struct layer *l, const struct maps *xs, const struct maps *ys, const float *x,
    const float *dy, float *dweight
) {
    long n = l->handful, out = ys->size[2] * ys->size[3] * n;
    for (long o = 0; o < l->rows; o++)
        for (long e = l->first[o]; e < l->first[o + 1]; e += AT_ONCE) {
            long many = l->first[o + 1] - e < AT_ONCE ? l->first[o + 1] - e : AT_ONCE;
            lanes dw[AT_ONCE] = {{0}};
            for (long i = 0; i < ys->size[2]; i++) {
                struct runs r = row_of(l, xs, ys, i);
                for (long j = 0; j < r.count; j++) {
                    const float *from[AT_ONCE];
                    for (long k = 0; k < AT_ONCE; k++)
                        from[k] = x + l->offset[e + (k < many ? k : 0)] * n + r.x + j * r.jump;
                    add_products(dw, dy + o * out + r.y + j * r.length, from, r.length);
                }
            }
            for (long k = 0; k < many; k++)
                dweight[l->place[e + k]] += sum(dw[k]);
        }
}

/* `dweight` is zero where it comes in; `dx` may be null. */
void sparse_backward(
    const struct layer *l, const struct maps *xs, const struct maps *dys, const struct maps *dxs,
    float *x, const float *weight, float *dy, float *dx, float *dweight, float *room
) {
    long n = l->handful, in = xs->size[1] * plane(xs, l->padding) * n;
    float *side = room + in, *back = side + dys->size[1] * dys->size[2] * dys->size[3] * n;
    for (long begin = 0; begin < xs->size[0]; begin += n) {
        move_images(xs, begin, n, l->padding, x, room, 0);
        move_images(dys, begin, n, NOTHING, dy, side, 0);
        add_to_weights(l, xs, dys, room, side, dweight);
        if (dx) {
            send_back(l, xs, dys, weight, side, back);
            move_images(dxs, begin, n, l->padding, dx, back, 1);
        }
    }
}
