/* Transformed l1: the shrinkage of one weight in closed, well-conditioned form; tl1.py derives it.
   Products and sums are fused only where MAD says so, and where a processor can do it. */
#include <math.h>
#ifdef __FP_FAST_FMAF
#define MAD(x, y, z) fmaf(x, y, z)
#else
#define MAD(x, y, z) ((x) * (y) + (z))
#endif

/* D(p): a minimax polynomial, by Horner's rule; 1/D has a relative error of 1.5e-7 on [0, 1]. */
#define TL1_D(p, mad) \
    mad(mad(mad(mad(mad(-0.00340107f, p, 0.01781459f), p, -0.06134307f), \
                p, 0.33278865f), p, 3.4641404f), p, 2.9999995f)

/* What depends on a and the step alone: threshold, a, b* - a in two parts, b*. */
struct tl1 { float t, a, hi, lo, b; };

static inline float tl1_point(float v, struct tl1 k) {
    float m = fabsf(v), inverse = 1.0f / (m + k.a), r = inverse * k.b;
    float e = ((m - k.hi) - k.lo) * inverse;
    e = e > 0.0f ? e : 0.0f;
    float p = sqrtf(MAD(e - 3.0f, e, 3.0f) * e);
    float s = r * r * k.b / (TL1_D(p, MAD));
    s = s < m ? s : m;
    return m <= k.t ? 0.0f : v - copysignf(s, v);
}
