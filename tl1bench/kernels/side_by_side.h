#include "maps.h"

static long plane(const struct maps *m, const long padding[2]) {
    return (m->size[2] + 2 * padding[0]) * (m->size[3] + 2 * padding[1]);
}

/* One axis of a map: how long, and the steps along it in its tensor and where images lie side by
   side. */
struct axis { long size, step, side; };

/* Copy `many` images from `begin` on between their tensor and the room where they lie side by
   side, with a border of zeros. */
static void move_images(
    const struct maps *m, long begin, long many, const long padding[2], float *tensor,
    float *restrict room, int back
) {
    long step = m->step[0], wide = m->size[3] + 2 * padding[1];
    long here = m->size[0] - begin < many ? m->size[0] - begin : many;
    struct axis channel = {m->size[1], m->step[1], plane(m, padding) * many};
    struct axis row = {m->size[2], m->step[2], wide * many};
    struct axis column = {m->size[3], m->step[3], many};
    int last = channel.step < column.step; /* neighbours in memory are those of another channel */
    struct axis a = last ? row : channel, b = last ? column : row, c = last ? channel : column;
    if (!back && (here < many || padding[0] || padding[1]))
        for (long i = 0; i < channel.size * channel.side; i++)
            room[i] = 0;
    tensor += begin * step, room += (padding[0] * wide + padding[1]) * many;
    for (long i = 0; i < a.size; i++)
        for (long j = 0; j < b.size; j++)
            for (long k = 0; k < c.size; k++) {
                float *there = tensor + i * a.step + j * b.step + k * c.step;
                float *side = room + i * a.side + j * b.side + k * c.side;
                if (back)
                    for (long n = 0; n < here; n++)
                        there[n * step] = side[n];
                else
                    for (long n = 0; n < here; n++)
                        side[n] = there[n * step];
            }
}
