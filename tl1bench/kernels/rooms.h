/* Where a convolution reads and writes images that lie side by side. */

#include "side_by_side.h"

#define MANY 64 /* images at a time */

/* Maps of MANY images side by side, and the steps between channels, rows and columns. */
struct room { long channels, height, width, step[3]; float *at; };

static const long NOTHING[2] = {0, 0};

static long room_size(const struct maps *m, const long padding[2]) {
    return m->size[1] * plane(m, padding) * MANY;
}

/* Images from `begin` on: where they lie if they lie side by side, else in `room`, with a border. */
static struct room images(
    const struct maps *m, long begin, const long padding[2], float *tensor, float *room
) {
    long wide = m->size[3] + 2 * padding[1];
    struct room r = {
        m->size[1], m->size[2] + 2 * padding[0], wide, {plane(m, padding) * MANY, wide * MANY, MANY},
        room,
    };
    if (m->step[0] == 1 && m->size[0] % MANY == 0 && !padding[0] && !padding[1]) {
        r.at = tensor + begin;
        for (int d = 0; d < 3; d++)
            r.step[d] = m->step[d + 1];
    }
    return r;
}

static struct room brought(
    const struct maps *m, long begin, const long padding[2], float *tensor, float *room
) {
    struct room r = images(m, begin, padding, tensor, room);
    if (r.at == room)
        move_images(m, begin, MANY, padding, tensor, room, 0);
    return r;
}

static void bring_back(
    const struct room *r, const struct maps *m, long begin, const long padding[2], float *tensor,
    float *room
) {
    if (r->at == room)
        move_images(m, begin, MANY, padding, tensor, room, 1);
}
