/* Many secrets under names, opened by whoever needs one; one is rotated while it is open. */

#include <stdio.h>
#include <stdlib.h>
#include <strongroom.h>

static void check(strongroom_status status)
{
    if (status != STRONGROOM_OK) {
        fprintf(stderr, "%s\n", strongroom_error_message());
        exit(EXIT_FAILURE);
    }
}

int main(void)
{
    strongroom_vault *vault;
    strongroom_store *store;
    check(strongroom_vault_new(64 * 1024, &vault));
    check(strongroom_store_new(vault, 0, 0, &store));

    for (int number = 0; number < 10000; number++) {
        char name[32], secret[32];
        int name_len = snprintf(name, sizeof name, "db/%d", number);
        int secret_len = snprintf(secret, sizeof secret, "password %d", number);
        check(strongroom_store_insert(store, name, (size_t)name_len, secret, (size_t)secret_len, 0,
                                      NULL));
        check(strongroom_wipe(secret, sizeof secret));
    }

    strongroom_opened *opened;
    check(strongroom_store_open(store, "db/42", 5, 1000, &opened));

    /* Rotation: from here on the name opens as the new one; what is open stays what it was. */
    uint32_t version;
    check(strongroom_store_replace(store, "db/42", 5, "correct horse", 13, 0, &version));
    bool is_old;
    check(strongroom_opened_equals(opened, "password 42", 11, &is_old));
    printf("version %u is in the store, the one that is open is %s\n", (unsigned)version,
           is_old ? "the old one" : "the new one");
    check(strongroom_opened_close(&opened));

    strongroom_store_free(&store);
    strongroom_vault_free(&vault);
    return is_old ? EXIT_SUCCESS : EXIT_FAILURE;
}
