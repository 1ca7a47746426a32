/* Weights on their way along the loss, one after another: v <- keep v + share (g + decay w),
   w <- w - lr v. `left` counts those still to be moved; the pointers stand at the first of them. */
struct move { float *w; const float *g; float *v; long left; float keep, share, decay, lr; };
struct moves { struct move *next; long count; };

static void move_along(struct move *m, long many) {
    float *restrict w = m->w, *restrict v = m->v;
    const float *restrict g = m->g;
    float keep = m->keep, share = m->share, decay = m->decay, lr = m->lr;
    for (long i = 0; i < many; i++) {
        v[i] = keep * v[i] + share * (g[i] + decay * w[i]);
        w[i] -= lr * v[i];
    }
    m->w += many, m->g += many, m->v += many, m->left -= many;
}

/* Move the next `many` weights, as far as there are so many. */
static void advance(struct moves *q, long many) {
    while (q && q->count && many) {
        long here = q->next->left < many ? q->next->left : many;
        move_along(q->next, here);
        many -= here;
        if (q->next->left == 0)
            q->next++, q->count--;
    }
}
