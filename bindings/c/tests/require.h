/* What the tests in C hold true, whatever the build says of assertions. */

#include <stdio.h>
#include <stdlib.h>
#include <strongroom.h>

#define REQUIRE(truth)                                                                             \
    do {                                                                                           \
        if (!(truth)) {                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n  last message: %s\n", __FILE__, __LINE__, #truth, \
                    strongroom_error_message());                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define IS(status, call) REQUIRE((call) == (status))
#define OK(call) IS(STRONGROOM_OK, call)
