/* v <- v + share (g - v), w <- w - lr v in one pass. */
void averaged_step(
    float *restrict v, const float *restrict g, float *restrict w, long n, float share, float lr
) {
    for (long i = 0; i < n; i++) {
        v[i] += share * (g[i] - v[i]);
        w[i] -= lr * v[i];
    }
}
