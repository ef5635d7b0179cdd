/* The C interface as a C program uses it, and misuses it. Compiled as C99 and as C++17; run plain, under
 * valgrind and with AddressSanitizer. */

#define _DEFAULT_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strongroom.h>
#include <sys/wait.h>
#include <unistd.h>

#include "require.h"

static strongroom_vault *small(void)
{
    strongroom_vault *vault;
    OK(strongroom_vault_new(16 * 1024, &vault));
    return vault;
}

static void a_secret_is_sealed_opened_and_read(void)
{
    strongroom_vault *vault = small();
    char password[] = "hunter2";
    unsigned char record[7 + STRONGROOM_RECORD_OVERHEAD];
    size_t len = 0;
    REQUIRE(strongroom_record_len(7) == sizeof record);
    IS(STRONGROOM_BUFFER_TOO_SMALL, strongroom_seal(vault, password, 7, "db", 2, record, 30, &len));
    REQUIRE(len == sizeof record);
    OK(strongroom_seal_and_wipe(vault, password, 7, "db", 2, record, sizeof record, &len));
    REQUIRE(len == sizeof record && memcmp(password, "\0\0\0\0\0\0\0", 7) == 0);

    strongroom_opened *opened = NULL;
    OK(strongroom_open(vault, record, len, "db", 2, 0, &opened));
    const uint8_t *bytes;
    size_t count;
    OK(strongroom_opened_read(opened, &bytes, &count));
    REQUIRE(count == 7 && memcmp(bytes, "hunter2", 7) == 0);

    /* An exposure that has not ended keeps it open, and from being written. */
    uint8_t *place;
    IS(STRONGROOM_EXPOSED, strongroom_opened_close(&opened));
    IS(STRONGROOM_EXPOSED, strongroom_opened_write(opened, &place, &count));
    OK(strongroom_opened_end(opened));
    IS(STRONGROOM_NOT_EXPOSED, strongroom_opened_end(opened));

    OK(strongroom_opened_write(opened, &place, &count));
    IS(STRONGROOM_EXPOSED, strongroom_opened_read(opened, &bytes, &count));
    place[0] = 'H';
    OK(strongroom_opened_end(opened));
    bool equal;
    OK(strongroom_opened_equals(opened, "Hunter2", 7, &equal));
    REQUIRE(equal);
    OK(strongroom_opened_equals(opened, "hunter2", 7, &equal));
    REQUIRE(!equal);
    OK(strongroom_opened_seal(opened, "new", 3, record, sizeof record, &len));
    OK(strongroom_opened_close(&opened));
    REQUIRE(opened == NULL);
    OK(strongroom_opened_close(&opened));

    /* Forged, and for another context. */
    IS(STRONGROOM_TAMPERED, strongroom_open(vault, record, len, "old", 3, 0, &opened));
    record[9] ^= 1;
    IS(STRONGROOM_TAMPERED, strongroom_open(vault, record, len, "new", 3, 0, &opened));
    REQUIRE(opened == NULL && strlen(strongroom_error_message()) > 20);
    IS(STRONGROOM_TAMPERED, strongroom_open(vault, NULL, 0, NULL, 0, 0, &opened));
    strongroom_vault_free(&vault);
    strongroom_vault_free(&vault);
}

static void null_is_a_status(void)
{
    strongroom_vault *vault = small();
    strongroom_opened *opened = NULL, *two[2];
    strongroom_opening *opening = NULL;
    strongroom_waker none = {NULL, NULL, NULL};
    unsigned char record[64];
    size_t len;
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_vault_new(65536, NULL));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_seal(NULL, "a", 1, "", 0, record, 64, &len));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_seal(vault, NULL, 1, "", 0, record, 64, &len));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_seal(vault, "a", 1, NULL, 1, record, 64, &len));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_seal(vault, "a", 1, "", 0, NULL, 64, &len));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_seal(vault, "a", 1, "", 0, record, 64, NULL));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_open(NULL, record, 25, "", 0, 0, &opened));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_open(vault, record, 25, "", 0, 0, NULL));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_open_all(vault, NULL, 2, 0, two));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_open_all(vault, NULL, 2, 0, NULL));
    IS(STRONGROOM_INVALID_ARGUMENT, strongroom_open_all(vault, NULL, 0, 0, &opened));
    IS(STRONGROOM_INVALID_ARGUMENT, strongroom_open_all(vault, NULL, SIZE_MAX, 0, &opened));
    IS(STRONGROOM_INVALID_ARGUMENT, strongroom_open_all(vault, NULL, SIZE_MAX / 4, 0, &opened));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_opened_end(NULL));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_opened_close(NULL));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_allocate_begin(vault, 1, none, &opening, &opened));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_opening_finish(NULL, &opened));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_opening_finish(&opening, &opened));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_store_new(NULL, 0, 0, NULL));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_vault_metrics_read(vault, NULL, 8));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_doctor_json(0, 0, NULL));
    REQUIRE(strstr(strongroom_error_message(), "`json` is NULL") != NULL);
    strongroom_opening_cancel(&opening);
    strongroom_opening_cancel(NULL);
    strongroom_vault_free(NULL);
    strongroom_text_free(NULL);
    strongroom_vault_free(&vault);
}

static void options_are_held_to(void)
{
    strongroom_options *options;
    strongroom_vault *vault = NULL, *signer = NULL;
    strongroom_opened *opened, *held[64];
    OK(strongroom_options_new(&options));
    OK(strongroom_options_budget(options, 8192, 8192));
    OK(strongroom_options_reserve(options, "signer", 8192));
    IS(STRONGROOM_INVALID_ARGUMENT, strongroom_options_policy(options, 7));
    IS(STRONGROOM_INVALID_ARGUMENT, strongroom_options_backing(options, 7));
    IS(STRONGROOM_INVALID_ARGUMENT, strongroom_options_key_share(options, 7, 0));
    IS(STRONGROOM_INVALID_ARGUMENT, strongroom_options_windows(options, 7));
    OK(strongroom_options_policy(options, STRONGROOM_POLICY_REQUIRE));
    OK(strongroom_vault_build(options, &vault));
    IS(STRONGROOM_NOT_FOUND, strongroom_vault_reserve(vault, "other", &signer));
    OK(strongroom_vault_reserve(vault, "signer", &signer));

    int count = 0;
    while (strongroom_allocate(vault, 1024, 0, &held[count]) == STRONGROOM_OK)
        count++;
    REQUIRE(count > 2);
    IS(STRONGROOM_FULL, strongroom_allocate(vault, 1024, 0, &opened));
    IS(STRONGROOM_TIMED_OUT, strongroom_allocate(vault, 1024, 20, &opened));
    IS(STRONGROOM_TOO_LARGE, strongroom_allocate(vault, 1 << 20, 20, &opened));
    OK(strongroom_allocate(signer, 1024, 0, &opened));
    OK(strongroom_opened_close(&opened));

    strongroom_metrics metrics;
    OK(strongroom_vault_metrics_read(vault, &metrics, sizeof metrics));
    REQUIRE(metrics.live == (uint64_t)count && metrics.waits >= 1 && metrics.budget == 16384);
    /* A program that knows fewer fields, and one that knows more. */
    uint64_t fields[20];
    memset(fields, 0xff, sizeof fields);
    OK(strongroom_vault_metrics_read(vault, (strongroom_metrics *)(void *)fields, 8));
    REQUIRE(fields[0] == 16384 && fields[1] == UINT64_MAX);
    OK(strongroom_vault_metrics_read(vault, (strongroom_metrics *)(void *)fields, sizeof fields));
    REQUIRE(fields[19] == 0);

    while (count > 0)
        OK(strongroom_opened_close(&held[--count]));
    OK(strongroom_options_budget(options, 65536, 4096));
    strongroom_vault *other = NULL;
    IS(STRONGROOM_BUDGET, strongroom_vault_build(options, &other));
    REQUIRE(other == NULL);
    strongroom_options_free(&options);
    strongroom_vault_free(&signer);
    strongroom_vault_free(&vault);
}

static void several_are_opened_all_or_none(void)
{
    strongroom_vault *vault = small();
    unsigned char records[3][32];
    strongroom_request requests[3];
    strongroom_opened *opened[3];
    for (int number = 0; number < 3; number++) {
        OK(strongroom_seal(vault, &"abc"[number], 1, NULL, 0, records[number], 32,
                           &requests[number].record_len));
        requests[number].record = records[number];
        requests[number].context = NULL;
        requests[number].context_len = 0;
    }
    OK(strongroom_open_all(vault, requests, 3, 100, opened));
    for (int number = 0; number < 3; number++) {
        bool equal;
        OK(strongroom_opened_equals(opened[number], &"abc"[number], 1, &equal));
        REQUIRE(equal);
        OK(strongroom_opened_close(&opened[number]));
    }
    records[1][8] ^= 1;
    IS(STRONGROOM_TAMPERED, strongroom_open_all(vault, requests, 3, 0, opened));
    REQUIRE(opened[0] == NULL && opened[1] == NULL && opened[2] == NULL);
    strongroom_vault_free(&vault);
}

static void as_many_as_fit_are_opened_together(void)
{
    enum { MANY = 300 };
    static unsigned char records[MANY][4 + STRONGROOM_RECORD_OVERHEAD];
    static strongroom_request requests[2 * MANY];
    static strongroom_opened *opened[2 * MANY];
    static uint32_t numbers[MANY];
    strongroom_vault *vault = small();
    for (uint32_t number = 0; number < MANY; number++) {
        strongroom_request *request = &requests[number];
        numbers[number] = number;
        OK(strongroom_seal(vault, &number, 4, &number, 4, records[number], sizeof records[number],
                           &request->record_len));
        request->record = records[number];
        request->context = &numbers[number];
        request->context_len = 4;
        requests[MANY + number] = *request;
    }
    OK(strongroom_open_all(vault, requests, MANY, 0, opened));
    for (uint32_t number = 0; number < MANY; number++) {
        bool equal;
        OK(strongroom_opened_equals(opened[number], &number, 4, &equal));
        REQUIRE(equal);
    }
    /* While those are open, that is said at once which would never have room. */
    static unsigned char long_record[8000 + STRONGROOM_RECORD_OVERHEAD], secret[8000];
    strongroom_request two[2];
    OK(strongroom_seal(vault, secret, 8000, NULL, 0, long_record, sizeof long_record,
                       &two[0].record_len));
    two[0].record = long_record;
    two[0].context = NULL;
    two[0].context_len = 0;
    two[1] = two[0];
    strongroom_opened *never[2];
    IS(STRONGROOM_NEVER_TOGETHER, strongroom_open_all(vault, two, 2, STRONGROOM_FOREVER, never));
    REQUIRE(never[0] == NULL && never[1] == NULL);
    for (int number = 0; number < MANY; number++)
        OK(strongroom_opened_close(&opened[number]));
    requests[2 * MANY - 1].context_len = 3;
    IS(STRONGROOM_TAMPERED, strongroom_open_all(vault, requests, 2 * MANY, 0, opened));
    REQUIRE(opened[0] == NULL && opened[2 * MANY - 1] == NULL);
    strongroom_vault_free(&vault);
}

static void a_key_is_made_in_place(void)
{
    strongroom_vault *vault = small();
    strongroom_opened *key, *again;
    unsigned char record[32 + STRONGROOM_RECORD_OVERHEAD];
    unsigned char drawn[32] = {0};
    size_t len;
    bool equal;
    OK(strongroom_allocate(vault, 32, 0, &key));
    OK(strongroom_opened_equals(key, drawn, 32, &equal));
    REQUIRE(equal);
    OK(strongroom_opened_fill_random(key));
    OK(strongroom_opened_seal(key, "key", 3, record, sizeof record, &len));
    OK(strongroom_opened_len(key, &len));
    REQUIRE(len == 32);
    OK(strongroom_open(vault, record, sizeof record, "key", 3, 0, &again));
    const uint8_t *bytes;
    OK(strongroom_opened_read(key, &bytes, &len));
    OK(strongroom_opened_equals(again, bytes, len, &equal));
    OK(strongroom_opened_end(key));
    REQUIRE(equal);
    OK(strongroom_fill_random(vault, drawn, sizeof drawn));
    OK(strongroom_constant_time_equal(drawn, 32, record, 32, &equal));
    REQUIRE(!equal);
    OK(strongroom_vault_verify(vault));
    OK(strongroom_vault_refresh(vault));
    OK(strongroom_vault_renew(vault));
    OK(strongroom_vault_trim(vault));
    OK(strongroom_vault_destroy(vault));
    OK(strongroom_opened_close(&again));
    IS(STRONGROOM_DESTROYED, strongroom_open(vault, record, sizeof record, "key", 3, 0, &again));
    /* What is open outlives the vault's handle. */
    strongroom_vault_free(&vault);
    OK(strongroom_opened_read(key, &bytes, &len));
    OK(strongroom_opened_end(key));
    OK(strongroom_opened_close(&key));
}

static int damages;

static void on_fault(strongroom_fault_kind kind, const char *message, void *user_data)
{
    REQUIRE(message != NULL && user_data == &damages);
    damages += kind == STRONGROOM_FAULT_KIND_CANARY_AFTER ? 1 : 100;
}

static void an_overflow_is_found(void)
{
    strongroom_vault *vault = small();
    strongroom_opened *opened;
    uint8_t *bytes;
    size_t len;
    for (int told = 0; told < 2; told++) {
        if (told)
            OK(strongroom_on_fault(on_fault, &damages));
        OK(strongroom_allocate(vault, 24, 0, &opened));
        OK(strongroom_opened_write(opened, &bytes, &len));
        bytes[len] ^= 0x55;
        OK(strongroom_opened_end(opened));
        IS(STRONGROOM_DAMAGED, strongroom_opened_close(&opened));
        REQUIRE(opened == NULL && damages == told);
    }
    OK(strongroom_on_fault(NULL, NULL));
    strongroom_vault_free(&vault);
}

static void count_name(const void *name, size_t len, uint32_t version, void *user_data)
{
    REQUIRE(len == 1 && *(const char *)name == 'a' && version == 3);
    *(int *)user_data += 1;
}

static void a_store_keeps_names(void)
{
    strongroom_vault *vault = small();
    strongroom_store *store;
    strongroom_opened *one, *two, *alone;
    uint32_t version;
    bool is;
    size_t count;
    OK(strongroom_store_new(vault, 2, 0, &store));
    strongroom_vault_free(&vault);
    OK(strongroom_store_insert(store, "a", 1, "one", 3, 0, &version));
    REQUIRE(version == 1);
    IS(STRONGROOM_EXISTS, strongroom_store_insert(store, "a", 1, "one", 3, 0, NULL));
    OK(strongroom_store_put(store, "b", 1, "bee", 3, 0, NULL));
    IS(STRONGROOM_STORE_FULL, strongroom_store_put(store, "c", 1, "sea", 3, 0, NULL));
    IS(STRONGROOM_NOT_FOUND, strongroom_store_replace(store, "c", 1, "sea", 3, 0, NULL));

    OK(strongroom_store_open(store, "a", 1, 0, &one));
    OK(strongroom_store_open(store, "a", 1, 100, &two));
    strongroom_store_metrics metrics;
    OK(strongroom_store_metrics_read(store, &metrics, sizeof metrics));
    REQUIRE(metrics.open == 1 && metrics.secrets == 2 && metrics.decryptions == 1);
    uint8_t *bytes;
    IS(STRONGROOM_SHARED, strongroom_opened_write(one, &bytes, &count));
    IS(STRONGROOM_SHARED, strongroom_opened_fill_random(one));
    OK(strongroom_store_open_alone(store, "a", 1, 0, &alone));
    OK(strongroom_opened_write(alone, &bytes, &count));
    OK(strongroom_opened_end(alone));

    OK(strongroom_store_replace(store, "a", 1, "two", 3, 0, &version));
    REQUIRE(version == 2);
    IS(STRONGROOM_OTHER_VERSION, strongroom_store_replace_version(store, "a", 1, 1, "x", 1, NULL));
    OK(strongroom_store_replace_version(store, "a", 1, 2, "three", 5, &version));
    OK(strongroom_opened_version(one, &version));
    REQUIRE(version == 1);
    OK(strongroom_store_version(store, "a", 1, &version));
    REQUIRE(version == 3);
    OK(strongroom_opened_equals(one, "one", 3, &is));
    REQUIRE(is);
    OK(strongroom_store_remove(store, "b", 1));
    IS(STRONGROOM_NOT_FOUND, strongroom_store_remove(store, "b", 1));
    OK(strongroom_store_contains(store, "b", 1, &is));
    REQUIRE(!is);
    int names = 0;
    OK(strongroom_store_for_each_name(store, count_name, &names));
    OK(strongroom_store_len(store, &count));
    REQUIRE(names == 1 && count == 1);

    OK(strongroom_store_put(store, "b", 1, "soon over", 9, 1, NULL));
    usleep(5000);
    OK(strongroom_store_remove_expired(store, &count));
    REQUIRE(count == 1);
    /* What is open outlives the store's handle. */
    strongroom_store_free(&store);
    OK(strongroom_opened_close(&alone));
    OK(strongroom_opened_close(&one));
    OK(strongroom_opened_equals(two, "one", 3, &is));
    REQUIRE(is);
    OK(strongroom_opened_close(&two));
}

static void a_stream_goes_through_a_small_vault(void)
{
    strongroom_vault *vault = small();
    strongroom_seal_stream *sealing;
    strongroom_open_stream *opening;
    enum { PIECES = 100, PIECE = 777, CHUNK = 1000 };
    size_t capacity = PIECES * PIECE * 2, len = 0, count, bound;
    unsigned char *sealed = (unsigned char *)malloc(capacity), piece[PIECE];
    OK(strongroom_seal_stream_new(vault, CHUNK, "up", 2, 0, &sealing));
    IS(STRONGROOM_BUFFER_TOO_SMALL,
       strongroom_seal_stream_push(sealing, piece, PIECE, sealed, 10, &count));
    for (int number = 0; number < PIECES; number++) {
        memset(piece, number, PIECE);
        OK(strongroom_seal_stream_bound(sealing, PIECE, &bound));
        REQUIRE(len + bound <= capacity);
        OK(strongroom_seal_stream_push(sealing, piece, PIECE, sealed + len, bound, &count));
        len += count;
        if (number == 50) {
            OK(strongroom_seal_stream_flush(sealing, sealed + len, capacity - len, &count));
            len += count;
        }
    }
    OK(strongroom_seal_stream_end(sealing, sealed + len, capacity - len, &count));
    len += count;
    IS(STRONGROOM_ENDED,
       strongroom_seal_stream_push(sealing, piece, PIECE, sealed + len, capacity - len, &count));
    strongroom_seal_stream_free(&sealing);

    for (int is_cut = 0; is_cut < 2; is_cut++) {
        size_t end = len - (size_t)(is_cut * 5), pushed = 0, opened = 0, taken;
        const uint8_t *bytes;
        strongroom_status status;
        OK(strongroom_open_stream_new(vault, CHUNK, "up", 2, 0, &opening));
        for (;;) {
            status = strongroom_open_stream_read(opening, &bytes, &count);
            if (status == STRONGROOM_PENDING) {
                size_t next = end - pushed < 300 ? end - pushed : 300;
                OK(strongroom_open_stream_push(opening, sealed + pushed, next, &taken));
                pushed += taken;
                continue;
            }
            if (status != STRONGROOM_OK)
                break;
            IS(STRONGROOM_EXPOSED, strongroom_open_stream_read(opening, &bytes, &count));
            for (size_t at = 0; at < count; at++)
                REQUIRE(bytes[at] == (opened + at) / PIECE);
            opened += count;
            IS(STRONGROOM_INVALID_ARGUMENT, strongroom_open_stream_end(opening, count + 1));
            OK(strongroom_open_stream_end(opening, count));
            IS(STRONGROOM_NOT_EXPOSED, strongroom_open_stream_end(opening, 0));
            if (count == 0)
                break;
        }
        if (is_cut)
            REQUIRE(status == STRONGROOM_TRUNCATED);
        else
            REQUIRE(status == STRONGROOM_OK && opened == (size_t)PIECES * PIECE);
        strongroom_open_stream_free(&opening);
    }
    free(sealed);
    strongroom_vault_free(&vault);
}

/* One who waits: a program's own event. */
struct event {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int woken, released;
};

static void wake(void *user_data)
{
    struct event *event = (struct event *)user_data;
    pthread_mutex_lock(&event->lock);
    event->woken++;
    pthread_cond_signal(&event->changed);
    pthread_mutex_unlock(&event->lock);
}

static void release_event(void *user_data)
{
    ((struct event *)user_data)->released++;
}

static void *close_later(void *opened)
{
    usleep(20000);
    strongroom_opened *handle = (strongroom_opened *)opened;
    OK(strongroom_opened_close(&handle));
    return NULL;
}

static void one_waits_without_a_thread(void)
{
    strongroom_vault *vault;
    strongroom_store *store;
    strongroom_opened *held[512], *opened;
    strongroom_opening *opening;
    struct event event = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    strongroom_waker waker = {wake, release_event, &event};
    OK(strongroom_vault_new(8192, &vault));
    OK(strongroom_store_new(vault, 0, 0, &store));
    OK(strongroom_store_insert(store, "a", 1, "one", 3, 0, NULL));
    unsigned char record[1024 + STRONGROOM_RECORD_OVERHEAD], secret[1024] = {1};
    size_t len;
    OK(strongroom_seal(vault, secret, sizeof secret, "", 0, record, sizeof record, &len));

    /* There is room: it is open at once, and nobody is called. */
    OK(strongroom_open_begin(vault, record, len, "", 0, waker, &opening, &opened));
    REQUIRE(opening == NULL && event.woken == 0 && event.released == 1);
    OK(strongroom_opened_close(&opened));

    int count = 0;
    while (strongroom_allocate(vault, 1024, 0, &held[count]) == STRONGROOM_OK)
        count++;
    /* Forged: said at once, though there is no room. */
    record[8] ^= 1;
    IS(STRONGROOM_TAMPERED,
       strongroom_open_begin(vault, record, len, "", 0, waker, &opening, &opened));
    record[8] ^= 1;
    REQUIRE(event.released == 2);

    /* Cancelled. */
    IS(STRONGROOM_PENDING,
       strongroom_open_begin(vault, record, len, "", 0, waker, &opening, &opened));
    IS(STRONGROOM_PENDING, strongroom_opening_finish(&opening, &opened));
    strongroom_metrics metrics;
    OK(strongroom_vault_metrics_read(vault, &metrics, sizeof metrics));
    REQUIRE(metrics.waiters == 1);
    strongroom_opening_cancel(&opening);
    OK(strongroom_vault_metrics_read(vault, &metrics, sizeof metrics));
    REQUIRE(opening == NULL && metrics.waiters == 0 && event.released == 3);

    for (int kind = 0; kind < 2; kind++) {
        event.woken = 0;
        if (kind == 0)
            IS(STRONGROOM_PENDING,
               strongroom_open_begin(vault, record, len, "", 0, waker, &opening, &opened));
        else
            IS(STRONGROOM_PENDING, strongroom_allocate_begin(vault, 1024, waker, &opening, &opened));
        pthread_t thread;
        pthread_create(&thread, NULL, close_later, held[--count]);
        strongroom_status status;
        while ((status = strongroom_opening_finish(&opening, &opened)) == STRONGROOM_PENDING) {
            pthread_mutex_lock(&event.lock);
            while (event.woken == 0)
                pthread_cond_wait(&event.changed, &event.lock);
            event.woken = 0;
            pthread_mutex_unlock(&event.lock);
        }
        REQUIRE(status == STRONGROOM_OK && opening == NULL);
        pthread_join(thread, NULL);
        held[count++] = opened;
    }
    while (strongroom_allocate(vault, 16, 0, &held[count]) == STRONGROOM_OK)
        count++;
    IS(STRONGROOM_PENDING, strongroom_store_open_begin(store, "a", 1, waker, &opening, &opened));
    event.woken = 0;
    OK(strongroom_opened_close(&held[--count]));
    REQUIRE(event.woken == 1);
    OK(strongroom_opening_finish(&opening, &opened));
    bool equal;
    OK(strongroom_opened_equals(opened, "one", 3, &equal));
    REQUIRE(equal);
    OK(strongroom_opened_close(&opened));
    IS(STRONGROOM_NOT_FOUND, strongroom_store_open_begin(store, "b", 1, waker, &opening, &opened));
    while (count > 0)
        OK(strongroom_opened_close(&held[--count]));
    strongroom_store_free(&store);
    strongroom_vault_free(&vault);
}

static void a_forked_child_is_told(void)
{
    strongroom_vault *vault = small();
    strongroom_store *store;
    strongroom_opened *opened;
    unsigned char record[32];
    size_t len;
    OK(strongroom_store_new(vault, 0, 0, &store));
    OK(strongroom_store_insert(store, "a", 1, "one", 3, 0, NULL));
    OK(strongroom_seal(vault, "one", 3, "", 0, record, sizeof record, &len));
    OK(strongroom_open(vault, record, len, "", 0, 0, &opened));
    pid_t child = fork();
    if (child == 0) {
        strongroom_opened *other;
        const uint8_t *bytes;
        uint8_t *place;
        IS(STRONGROOM_FORKED, strongroom_seal(vault, "one", 3, "", 0, record, sizeof record, &len));
        IS(STRONGROOM_FORKED, strongroom_open(vault, record, len, "", 0, 100, &other));
        IS(STRONGROOM_FORKED, strongroom_opened_read(opened, &bytes, &len));
        IS(STRONGROOM_FORKED, strongroom_opened_write(opened, &place, &len));
        IS(STRONGROOM_FORKED, strongroom_store_open(store, "a", 1, 0, &other));
        IS(STRONGROOM_FORKED, strongroom_store_put(store, "a", 1, "x", 1, 0, NULL));
        IS(STRONGROOM_FORKED, strongroom_store_remove(store, "a", 1));
        IS(STRONGROOM_FORKED, strongroom_fill_random(vault, record, 1));
        IS(STRONGROOM_FORKED, strongroom_vault_verify(vault));
        OK(strongroom_opened_close(&opened));
        strongroom_store_free(&store);
        strongroom_vault_free(&vault);
        vault = small();
        OK(strongroom_allocate(vault, 8, 0, &other));
        OK(strongroom_opened_close(&other));
        strongroom_vault_free(&vault);
        _exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(strongroom_opened_close(&opened));
    strongroom_store_free(&store);
    strongroom_vault_free(&vault);
}

static void reports_are_json(void)
{
    strongroom_vault *vault = small();
    char *json = NULL;
    OK(strongroom_vault_protections_json(vault, &json));
    REQUIRE(strstr(json, "\"locked\": true") != NULL);
    strongroom_text_free(&json);
    OK(strongroom_doctor_json(100, 64, &json));
    REQUIRE(strstr(json, "\"lock_limit_soft\"") != NULL && strstr(json, "\"open\": 100") != NULL);
    strongroom_text_free(&json);
    REQUIRE(json == NULL);
    OK(strongroom_limits_remedy(1, &json));
    strongroom_text_free(&json);
    strongroom_vault_free(&vault);
}

static void vaults_are_renewed(void)
{
    strongroom_vault *vault = small();
    uint8_t before[STRONGROOM_RECORD_OVERHEAD + 7], after[STRONGROOM_RECORD_OVERHEAD + 7];
    size_t len;
    bool kernel_log;
    const uint8_t none[4] = {0, 0, 0, 0};
    OK(strongroom_seal(vault, "hunter2", 7, NULL, 0, before, sizeof before, &len));
    // Numbers of eight bytes are counted from 0, and by a renewed vault from a random one.
    REQUIRE(memcmp(before + 4, none, sizeof none) == 0);
    strongroom_renew_all();
    OK(strongroom_seal(vault, "hunter2", 7, NULL, 0, after, sizeof after, &len));
    REQUIRE(memcmp(after + 4, none, sizeof none) != 0);
    strongroom_opened *opened;
    OK(strongroom_open(vault, before, sizeof before, NULL, 0, 0, &opened));
    OK(strongroom_opened_close(&opened));
    IS(STRONGROOM_NULL_ARGUMENT, strongroom_renew_when_cloned(NULL));
    enum strongroom_status watched = strongroom_renew_when_cloned(&kernel_log);
    REQUIRE(watched == STRONGROOM_OK || watched == STRONGROOM_CLONES_UNSEEN);
#ifdef __linux__
    REQUIRE(watched == STRONGROOM_OK);
#endif
    strongroom_vault_free(&vault);
}

static void everything_is_wiped(void)
{
    pid_t child = fork();
    if (child == 0) {
        strongroom_vault *vault = small(), *other;
        strongroom_opened *opened;
        const uint8_t *bytes;
        size_t len;
        OK(strongroom_allocate(vault, 8, 0, &opened));
        strongroom_wipe_all();
        IS(STRONGROOM_DESTROYED, strongroom_opened_read(opened, &bytes, &len));
        IS(STRONGROOM_DESTROYED, strongroom_vault_new(16384, &other));
        OK(strongroom_opened_close(&opened));
        _exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    a_secret_is_sealed_opened_and_read();
    null_is_a_status();
    options_are_held_to();
    several_are_opened_all_or_none();
    as_many_as_fit_are_opened_together();
    a_key_is_made_in_place();
    an_overflow_is_found();
    a_store_keeps_names();
    a_stream_goes_through_a_small_vault();
    one_waits_without_a_thread();
    a_forked_child_is_told();
    reports_are_json();
    everything_is_wiped();
    // Last, since from then on there is a thread, of which a forked child has the memory alone.
    vaults_are_renewed();
    return 0;
}
