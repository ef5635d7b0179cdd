/* Does with a secret what a C program can do with it, for search.c. */

#include "subject.h"

#include <stdint.h>
#include <strongroom.h>

#define OK(call) REQUIRE((call) == STRONGROOM_OK)

enum { RECORD = SECRET + STRONGROOM_RECORD_OVERHEAD };

static strongroom_vault *vault;
static unsigned char record[RECORD];

static void wake(void *user_data)
{
    (void)user_data;
}

/* Made where it stays, sealed from there. */
static strongroom_opened *made(void)
{
    strongroom_opened *opened;
    uint8_t *place;
    size_t len;
    OK(strongroom_allocate(vault, SECRET, 0, &opened));
    OK(strongroom_opened_write(opened, &place, &len));
    fetch(place);
    OK(strongroom_opened_end(opened));
    be_searched("open");
    OK(strongroom_opened_seal(opened, "a", 1, record, RECORD, &len));
    return opened;
}

/* From ordinary memory, which is wiped. */
static void sealed_and_wiped(void)
{
    unsigned char place[SECRET], other[RECORD];
    size_t len;
    fetch(place);
    OK(strongroom_seal_and_wipe(vault, place, SECRET, "b", 1, other, RECORD, &len));
    fetch(place);
    OK(strongroom_seal(vault, place, SECRET, "b", 1, other, RECORD, &len));
    OK(strongroom_wipe(place, SECRET));
}

static void opened_in_every_way(strongroom_opened *held)
{
    strongroom_opened *one = NULL, *all[3];
    strongroom_opening *opening = NULL;
    strongroom_waker waker = {wake, NULL, NULL};
    strongroom_request request = {record, RECORD, "a", 1}, requests[3];
    const uint8_t *bytes;
    size_t len;
    bool equal;
    OK(strongroom_opened_read(held, &bytes, &len));
    for (int round = 0; round < 100; round++) {
        OK(strongroom_open(vault, record, RECORD, "a", 1, 0, &one));
        OK(strongroom_opened_equals(one, bytes, len, &equal));
        REQUIRE(equal);
        OK(strongroom_opened_close(&one));
    }
    be_searched("open");
    OK(strongroom_constant_time_equal(bytes, len, bytes, len, &equal));
    OK(strongroom_opened_end(held));
    be_searched("open");
    OK(strongroom_open_begin(vault, record, RECORD, "a", 1, waker, &opening, &one));
    OK(strongroom_opened_close(&one));
    requests[0] = requests[1] = requests[2] = request;
    OK(strongroom_open_all(vault, requests, 3, 0, all));
    for (int number = 0; number < 3; number++)
        OK(strongroom_opened_close(&all[number]));
    record[3] ^= 1;
    REQUIRE(strongroom_open(vault, record, RECORD, "a", 1, 0, &one) == STRONGROOM_TAMPERED);
    REQUIRE(strlen(strongroom_error_message()) > 0);
    record[3] ^= 1;
}

static void stored(strongroom_opened *held)
{
    strongroom_store *store;
    strongroom_opened *one;
    const uint8_t *bytes;
    size_t len;
    uint32_t version;
    OK(strongroom_store_new(vault, 0, 0, &store));
    OK(strongroom_opened_read(held, &bytes, &len));
    OK(strongroom_store_insert(store, "x", 1, bytes, len, 0, &version));
    be_searched("open");
    OK(strongroom_store_replace(store, "x", 1, bytes, len, 0, &version));
    OK(strongroom_opened_end(held));
    for (int round = 0; round < 100; round++) {
        OK(strongroom_store_open(store, "x", 1, 0, &one));
        OK(strongroom_opened_read(one, &bytes, &len));
        OK(strongroom_opened_end(one));
        OK(strongroom_opened_close(&one));
    }
    be_searched("open");
    OK(strongroom_store_open_alone(store, "x", 1, 0, &one));
    OK(strongroom_opened_close(&one));
    strongroom_store_free(&store);
}

static void streamed(strongroom_opened *held)
{
    static unsigned char sealed[8192];
    strongroom_seal_stream *sealing;
    strongroom_open_stream *opening;
    const uint8_t *bytes;
    size_t len, given, taken, end = 0;
    OK(strongroom_seal_stream_new(vault, 100, NULL, 0, 0, &sealing));
    OK(strongroom_opened_read(held, &bytes, &len));
    for (int round = 0; round < 20; round++) {
        OK(strongroom_seal_stream_push(sealing, bytes, len, sealed + end, sizeof sealed - end, &given));
        end += given;
        if (round < 3)
            be_searched("open");
    }
    OK(strongroom_opened_end(held));
    OK(strongroom_seal_stream_end(sealing, sealed + end, sizeof sealed - end, &given));
    end += given;
    strongroom_seal_stream_free(&sealing);

    OK(strongroom_open_stream_new(vault, 100, NULL, 0, 0, &opening));
    for (size_t at = 0, shown = 0; shown < 20 * SECRET;) {
        OK(strongroom_open_stream_push(opening, sealed + at, end - at, &taken));
        at += taken;
        enum strongroom_status status = strongroom_open_stream_read(opening, &bytes, &len);
        if (status == STRONGROOM_PENDING)
            continue;
        OK(status);
        OK(strongroom_open_stream_end(opening, len));
        shown += len;
        be_searched("open");
    }
    strongroom_open_stream_free(&opening);
}

static void *allocated(void)
{
    void *place = strongroom_malloc(SECRET), *other = strongroom_calloc(2, SECRET);
    REQUIRE(place != NULL && other != NULL);
    fetch(place);
    fetch(other);
    strongroom_free(other);
    be_searched("open");
    place = strongroom_realloc(place, 3 * SECRET);
    REQUIRE(place != NULL);
    be_searched("open");
    place = strongroom_realloc(place, SECRET + 1);
    REQUIRE(place != NULL);
    return place;
}

int main(void)
{
    OK(strongroom_vault_new(16 * 1024, &vault));
    strongroom_opened *held = made();
    be_searched("open");
    sealed_and_wiped();
    be_searched("open");
    opened_in_every_way(held);
    be_searched("open");
    stored(held);
    be_searched("open");
    streamed(held);
    be_searched("open");
    void *place = allocated();
    be_searched("open");
    strongroom_free(place);
    OK(strongroom_opened_close(&held));
    be_searched("dropped");
    strongroom_vault_free(&vault);
    be_searched("dropped");
    plant();
    return 0;
}
