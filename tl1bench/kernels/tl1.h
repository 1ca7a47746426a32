/* Transformed l1: the shrinkage of one weight in closed, well-conditioned form; tl1.py derives it.
   Products and sums are fused only where MAD says so, and where a processor can do it. */
#include <math.h>
#ifdef __FP_FAST_FMAF
#define MAD(x, y, z) fmaf(x, y, z)
#else
#define MAD(x, y, z) ((x) * (y) + (z))
#endif

/* D(p): a minimax polynomial; 1/D has a relative error of 1.5e-7 on [0, 1]. Even and odd powers
   stand apart, because q = p^2 is there before the root is taken. */
#define TL1_D(p, q, mad) \
    mad(mad(mad(-0.00340107f, q, -0.06134307f), q, 3.4641404f), p, \
        mad(mad(0.01781459f, q, 0.33278865f), q, 2.9999995f))

/* What depends on a and the step alone: threshold, a, b* - a in two parts, b*. */
struct tl1 { float t, a, hi, lo, b; };

static inline float tl1_point(float v, struct tl1 k) {
    float m = fabsf(v), inverse = 1.0f / (m + k.a), r = inverse * k.b;
    float e = ((m - k.hi) - k.lo) * inverse;
    e = e > 0.0f ? e : 0.0f;
    float square = r * r, q = (square + (r + 1.0f)) * e;
    float s = square * k.b / TL1_D(sqrtf(q), q, MAD);
    s = s < m ? s : m;
    return m <= k.t ? 0.0f : v - copysignf(s, v);
}
