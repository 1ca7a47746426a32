#include "momentum.h"

void finish(struct move *m) {
    move_along(m, m->left);
}
