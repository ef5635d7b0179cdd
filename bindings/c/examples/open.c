/* Seals a password, and opens it for the moment in which it is used. */

#include <stdio.h>
#include <stdlib.h>
#include <strongroom.h>

/* Says why and ends the program, which is what an example may do. */
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
    check(strongroom_vault_new(64 * 1024, &vault));

    /* At rest: a record, in ordinary memory, 24 bytes longer than the secret. */
    char password[] = "hunter2";
    unsigned char record[sizeof password - 1 + STRONGROOM_RECORD_OVERHEAD];
    size_t record_len;
    check(strongroom_seal_and_wipe(vault, password, sizeof password - 1, "db/password", 11, record,
                                   sizeof record, &record_len));

    /* In use: wait up to a second for room, read, end. */
    strongroom_opened *opened;
    check(strongroom_open(vault, record, record_len, "db/password", 11, 1000, &opened));
    const unsigned char *bytes;
    size_t len;
    check(strongroom_opened_read(opened, &bytes, &len));
    printf("%zu bytes that begin with '%c'\n", len, bytes[0]);
    check(strongroom_opened_end(opened));
    check(strongroom_opened_close(&opened));

    strongroom_vault_free(&vault);
    return EXIT_SUCCESS;
}
