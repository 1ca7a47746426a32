/* Images picked out of a set of bytes, moved and mirrored, as floats times `scale`. An image moves as
   a whole along memory; what thereby comes in from a neighbouring row is wiped out. */
enum { AHEAD = 4 }; /* images: the set lies in memory, in no order that a processor could foresee */

struct images { const unsigned char *set; long long count, channels, height, width; };

/* By the image of `picked`: how far down and to the right its window begins, and whether it is
   mirrored. */
struct drawn { const long long *picked, *down, *right, *mirrored; long long count, reach; };

static int inside(const struct images *all, const struct drawn *d) {
    for (long long k = 0; k < d->count; k++) {
        if (d->picked[k] < 0 || d->picked[k] >= all->count) return 0;
        if (d->down[k] < 0 || d->down[k] > 2 * d->reach) return 0;
        if (d->right[k] < 0 || d->right[k] > 2 * d->reach) return 0;
    }
    return 1;
}

static void move_plane(float *restrict out, const unsigned char *restrict in, long long area,
                       long long by, float scale) {
    long long first = by < 0 ? -by : 0, last = by > 0 ? area - by : area;
    for (long long i = 0; i < first; i++) out[i] = 0;
    for (long long i = first; i < last; i++) out[i] = scale * (float)in[i + by];
    for (long long i = last; i < area; i++) out[i] = 0;
}

static void mirror(float *row, long long width) {
    for (long long i = 0, j = width - 1; i < j; i++, j--) {
        float kept = row[i];
        row[i] = row[j], row[j] = kept;
    }
}

/* `done` says whether all that is asked for is there; if not, nothing was written. */
void crop(float *restrict out, const struct images *all, const struct drawn *d, float scale,
          long long *done) {
    long long width = all->width, area = all->height * width, size = all->channels * area;
    *done = inside(all, d);
    for (long long k = 0; *done && k < d->count; k++) {
        long long right = d->right[k] - d->reach, by = (d->down[k] - d->reach) * width + right;
        const unsigned char *image = all->set + d->picked[k] * size;
        const unsigned char *later = all->set + d->picked[k + AHEAD < d->count ? k + AHEAD : k] * size;
        for (long long i = 0; i < size; i += 64) __builtin_prefetch(later + i);
        for (long long c = 0; c < all->channels; c++, out += area) {
            move_plane(out, image + c * area, area, by, scale);
            for (float *row = out; row < out + area; row += width) {
                for (long long j = 0; j < -right; j++) row[j] = 0;
                for (long long j = width - right; j < width; j++) row[j] = 0;
                if (d->mirrored[k]) mirror(row, width);
            }
        }
    }
}
