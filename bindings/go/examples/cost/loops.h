#include <strongroom.h>

// Seal, open, look and close so often: what C pays for it. Nanoseconds for one.
double loop_seal(strongroom_vault *vault, int rounds);
double loop_open(strongroom_vault *vault, int rounds);
