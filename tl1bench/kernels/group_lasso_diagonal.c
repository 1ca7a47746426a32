/* Group lasso with a step for each weight: no closed form, so Newton from below; see group_lasso.py.
   Nothing is shared with the one-step kernel but the formula at equal steps. In double throughout. */
#include <math.h>
#define CHUNK 512
#define NEWTON_STEPS 60

/* A matrix of rows x n, each group `width` neighbouring columns, and the step of each weight. */
struct part { float *w; const float *step; long rows, n, width; };

/* Column sums over a chunk of columns are added to those of their groups. */
static void add(double *of_group, const double *column, long from, long many, long width) {
    long g = from / width, left = width - from % width;
    for (long j = 0; j < many; j++) {
        of_group[g] += column[j];
        if (--left == 0)
            left = width, g++;
    }
}

static void look(const struct part *q, double amount, double *squares, double *scaled,
                 double *unpenalised, double *largest) {
    for (long from = 0; from < q->n; from += CHUNK) {
        long many = q->n - from < CHUNK ? q->n - from : CHUNK;
        double a[CHUNK] = {0}, b[CHUNK] = {0}, c[CHUNK] = {0}, d[CHUNK] = {0};
        for (long i = 0; i < q->rows; i++) {
            const float *w = q->w + i * q->n + from, *step = q->step + i * q->n + from;
            for (long j = 0; j < many; j++) {
                double z = w[j], tau = step[j] * amount, square = z * z;
                double ratio = tau == 0 ? square == 0 ? 0 : HUGE_VAL : square / (tau * tau);
                a[j] += square;
                b[j] += ratio;
                c[j] += tau > 0 ? 0 : square;
                d[j] = tau > d[j] ? tau : d[j];
            }
        }
        add(squares, a, from, many, q->width);
        add(scaled, b, from, many, q->width);
        add(unpenalised, c, from, many, q->width);
        for (long j = 0; j < many; j++) {
            double *most = largest + (from + j) / q->width;
            *most = d[j] > *most ? d[j] : *most;
        }
    }
}

static void newton(const struct part *q, double amount, const double *r, double *square,
                   double *slope) {
    for (long from = 0; from < q->n; from += CHUNK) {
        long many = q->n - from < CHUNK ? q->n - from : CHUNK;
        double a[CHUNK] = {0}, b[CHUNK] = {0}, radius[CHUNK];
        for (long j = 0; j < many; j++)
            radius[j] = r[(from + j) / q->width];
        for (long i = 0; i < q->rows; i++) {
            const float *w = q->w + i * q->n + from, *step = q->step + i * q->n + from;
            for (long j = 0; j < many; j++) {
                double below = radius[j] + step[j] * amount;
                double inverse = 1 / (below > 1e-150 ? below : 1e-150), part = w[j] * inverse;
                part *= part;
                a[j] += part;
                b[j] += part * inverse;
            }
        }
        add(square, a, from, many, q->width);
        add(slope, b, from, many, q->width);
    }
}

static void shorten(const struct part *q, double amount, const double *r, const double *scaled) {
    for (long from = 0; from < q->n; from += CHUNK) {
        long many = q->n - from < CHUNK ? q->n - from : CHUNK;
        double radius[CHUNK];
        for (long j = 0; j < many; j++) {
            long g = (from + j) / q->width;
            radius[j] = scaled[g] > 1 ? r[g] : scaled[g] <= 1 ? 0 : NAN;
        }
        for (long i = 0; i < q->rows; i++) {
            float *w = q->w + i * q->n + from;
            const float *step = q->step + i * q->n + from;
            for (long j = 0; j < many; j++) {
                double below = radius[j] + step[j] * amount;
                w[j] = radius[j] == 0 ? 0 : w[j] * (radius[j] / below);
            }
        }
    }
}

void group_lasso_diagonal(const struct part *parts, long count, long groups, double amount, double *work) {
    double *r = work, *square = r + groups, *slope = square + groups;
    double *scaled = slope + groups, *largest = scaled + groups;
    for (long k = 0; k < 5 * groups; k++)
        work[k] = 0;
    for (long k = 0; k < count; k++)
        look(parts + k, amount, square, scaled, slope, largest);
    for (long g = 0; g < groups; g++) {
        /* Both are at most the norm that is sought. */
        double penalised = sqrt(square[g]) - largest[g], free = sqrt(slope[g]);
        r[g] = penalised > free ? penalised : free;
    }
    for (int turn = 0; turn < NEWTON_STEPS; turn++) {
        int done = 1;
        for (long g = 0; g < 2 * groups; g++)
            square[g] = 0;
        for (long k = 0; k < count; k++)
            newton(parts + k, amount, r, square, slope);
        for (long g = 0; g < groups; g++) {
            double move = square[g] > 1 ? (sqrt(square[g]) - 1) * square[g] / slope[g] : 0;
            r[g] += move;
            done &= move <= 1e-5 * r[g]; /* quadratic: the next move would be nil in float32 */
        }
        if (done)
            break;
    }
    for (long k = 0; k < count; k++)
        shorten(parts + k, amount, r, scaled);
}
