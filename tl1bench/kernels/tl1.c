#include "tl1.h"

/* One step for all weights: what depends on it is in `k`. */
void tl1(float *restrict z, long n, const struct tl1 *k) {
    struct tl1 own = *k;
    for (long i = 0; i < n; i++)
        z[i] = tl1_point(z[i], own);
}

/* A step for each weight, in double throughout. A loop of its own, because b* would cost a cube root
   a weight: with r^3 = b*^3 / b^3, which is all that p needs, there is none to take. */
#define DOUBLE_MAD(x, y, z) ((x) * (y) + (z))
void tl1_diagonal(float *restrict w, const float *restrict step, long n, double amount, double a) {
    double edge = a * a / (2 * (a + 1)), slope = (a + 1) / a, cube = 6.75 * a * (a + 1);
    for (long i = 0; i < n; i++) {
        double v = w[i], tau = step[i] * amount, m = fabs(v), inverse = 1 / (m + a);
        double t = tau <= edge ? tau * slope : sqrt(2 * tau * (a + 1)) - a / 2;
        double share = cube * tau * inverse * inverse, rest = 1 - share * inverse;
        double q = rest > 0 ? rest : 0, s = share / TL1_D(sqrt(q), q, DOUBLE_MAD);
        s = s < m ? s : m;
        w[i] = m <= t ? 0 : v - copysign(s, v);
    }
}
