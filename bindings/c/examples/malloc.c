/* Locked memory in the shape of malloc(3), for code that has a place for an allocator. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strongroom.h>

int main(void)
{
    char *key = strongroom_malloc(32);
    if (key == NULL) {
        fprintf(stderr, "%s: %s\n", strerror(errno), strongroom_error_message());
        return EXIT_FAILURE;
    }
    memset(key, 7, 32);

    char *longer = strongroom_realloc(key, 64);
    if (longer == NULL) {
        fprintf(stderr, "%s: %s\n", strerror(errno), strongroom_error_message());
        strongroom_free(key);
        return EXIT_FAILURE;
    }
    printf("%zu bytes, the 33rd is %d\n", strongroom_usable_size(longer), longer[32]);
    strongroom_free(longer);
    return EXIT_SUCCESS;
}
