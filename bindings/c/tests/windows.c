/* A vault whose memory is shut but while something is exposed: whoever reads it otherwise ends the process. By
 * pages, which every machine has; by keys where there are any. */

#define _DEFAULT_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strongroom.h>
#include <sys/wait.h>
#include <unistd.h>

#include "require.h"

static strongroom_vault *shut(uint32_t windows)
{
    strongroom_options *options;
    strongroom_vault *vault;
    OK(strongroom_options_new(&options));
    OK(strongroom_options_windows(options, windows));
    OK(strongroom_vault_build(options, &vault));
    strongroom_options_free(&options);
    return vault;
}

static bool has_keys(void)
{
    strongroom_options *options;
    strongroom_vault *vault = NULL;
    OK(strongroom_options_new(&options));
    OK(strongroom_options_windows(options, STRONGROOM_WINDOWS_KEYS));
    enum strongroom_status status = strongroom_vault_build(options, &vault);
    if (status != STRONGROOM_OK) {
        REQUIRE(status == STRONGROOM_WINDOWS_REFUSED);
        REQUIRE(strstr(strongroom_error_message(), "memory protection keys") != NULL);
        /* Who only prefers protection has a vault without windows, and can see that. */
        OK(strongroom_options_policy(options, STRONGROOM_POLICY_PREFER));
        OK(strongroom_vault_build(options, &vault));
        char *json;
        OK(strongroom_vault_protections_json(vault, &json));
        REQUIRE(strstr(json, "\"windows\": \"none\"") != NULL);
        strongroom_text_free(&json);
    }
    strongroom_vault_free(&vault);
    strongroom_options_free(&options);
    return status == STRONGROOM_OK;
}

static int told[2];

/* And stays until it is ended from outside: a checker has nothing to say then of what is left. */
static void tell(char what)
{
    while (write(told[1], &what, 1) == 1)
        pause();
}

static void on_fault(int signal)
{
    (void)signal;
    tell('f');
}

/* Whether a process that does so touches memory that it may not. */
static bool faults(void (*act)(uint32_t), uint32_t windows)
{
    char what;
    int status;
    REQUIRE(pipe(told) == 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, on_fault);
        signal(SIGBUS, on_fault);
        act(windows);
        tell('n');
    }
    REQUIRE(child > 0 && close(told[1]) == 0 && read(told[0], &what, 1) == 1);
    REQUIRE(close(told[0]) == 0 && kill(child, SIGKILL) == 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    return what == 'f';
}

/* Kept from the compiler's knowledge. */
static const uint8_t *volatile seen;
static volatile uint8_t first;

static strongroom_opened *five(strongroom_vault *vault)
{
    unsigned char record[5 + STRONGROOM_RECORD_OVERHEAD];
    size_t len;
    strongroom_opened *opened;
    OK(strongroom_seal(vault, "12345", 5, NULL, 0, record, sizeof record, &len));
    OK(strongroom_open(vault, record, len, NULL, 0, 0, &opened));
    return opened;
}

static void look(strongroom_opened *opened)
{
    const uint8_t *bytes;
    size_t len;
    OK(strongroom_opened_read(opened, &bytes, &len));
    REQUIRE(len == 5 && memcmp(bytes, "12345", 5) == 0);
    seen = bytes;
    OK(strongroom_opened_end(opened));
}

static void read_after_the_end(uint32_t windows)
{
    look(five(shut(windows)));
    first = seen[0];
}

static void write_after_the_end(uint32_t windows)
{
    strongroom_opened *opened = five(shut(windows));
    uint8_t *bytes;
    size_t len;
    OK(strongroom_opened_write(opened, &bytes, &len));
    bytes[0] = '2';
    OK(strongroom_opened_end(opened));
    *(volatile uint8_t *)bytes = '3';
}

/* The end of one exposure does not shut what another has open, and the last end does. */
static void read_after_the_last_end(uint32_t windows)
{
    strongroom_opened *opened = five(shut(windows));
    const uint8_t *bytes;
    size_t len;
    OK(strongroom_opened_read(opened, &bytes, &len));
    look(opened);
    bool equal;
    OK(strongroom_opened_equals(opened, "12345", 5, &equal));
    if (bytes[0] != '1' || !equal)
        _exit(0);
    OK(strongroom_opened_end(opened));
    first = seen[0];
}

static strongroom_open_stream *chunk(strongroom_vault *vault, const uint8_t **bytes)
{
    unsigned char sealed[512];
    size_t begun, ended, taken, len;
    strongroom_seal_stream *sealing;
    strongroom_open_stream *opening;
    OK(strongroom_seal_stream_new(vault, 64, NULL, 0, 0, &sealing));
    OK(strongroom_seal_stream_push(sealing, "12345", 5, sealed, sizeof sealed, &begun));
    OK(strongroom_seal_stream_end(sealing, sealed + begun, sizeof sealed - begun, &ended));
    strongroom_seal_stream_free(&sealing);
    OK(strongroom_open_stream_new(vault, 64, NULL, 0, 0, &opening));
    OK(strongroom_open_stream_push(opening, sealed, begun + ended, &taken));
    OK(strongroom_open_stream_push(opening, NULL, 0, &taken));
    OK(strongroom_open_stream_read(opening, bytes, &len));
    REQUIRE(len == 5);
    return opening;
}

static void read_a_chunk_after_its_end(uint32_t windows)
{
    const uint8_t *bytes;
    strongroom_open_stream *stream = chunk(shut(windows), &bytes);
    if (memcmp(bytes, "12345", 5) != 0)
        _exit(0);
    OK(strongroom_open_stream_end(stream, 1));
    first = bytes[1];
}

static void *end_elsewhere(void *opened)
{
    IS(STRONGROOM_NOT_EXPOSED, strongroom_opened_end((strongroom_opened *)opened));
    REQUIRE(strstr(strongroom_error_message(), "other threads'") != NULL);
    return NULL;
}

static void *end_a_chunk_elsewhere(void *stream)
{
    IS(STRONGROOM_NOT_EXPOSED, strongroom_open_stream_end((strongroom_open_stream *)stream, 1));
    return NULL;
}

static void *read_here_too(void *opened)
{
    look((strongroom_opened *)opened);
    return NULL;
}

static void in_a_thread(void *(*act)(void *), void *what)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, act, what) == 0 && pthread_join(thread, NULL) == 0);
}

static void a_window_ends_in_its_thread(uint32_t windows)
{
    strongroom_vault *vault = shut(windows);
    strongroom_opened *opened = five(vault);
    const uint8_t *bytes;
    size_t len;
    uint32_t kind;
    OK(strongroom_opened_windows(opened, &kind));
    REQUIRE(kind == windows);
    IS(STRONGROOM_NOT_EXPOSED, strongroom_opened_end(opened));
    OK(strongroom_opened_read(opened, &bytes, &len));
    in_a_thread(end_elsewhere, opened);
    in_a_thread(read_here_too, opened);
    IS(STRONGROOM_EXPOSED, strongroom_opened_close(&opened));
    REQUIRE(memcmp(bytes, "12345", 5) == 0);
    OK(strongroom_opened_end(opened));
    IS(STRONGROOM_NOT_EXPOSED, strongroom_opened_end(opened));
    OK(strongroom_opened_close(&opened));

    strongroom_open_stream *stream = chunk(vault, &bytes);
    in_a_thread(end_a_chunk_elsewhere, stream);
    REQUIRE(memcmp(bytes, "12345", 5) == 0);
    OK(strongroom_open_stream_end(stream, 5));
    strongroom_open_stream_free(&stream);
    /* One that is taken back while it shows a chunk ends the window too. */
    stream = chunk(vault, &bytes);
    strongroom_open_stream_free(&stream);

    char *json;
    OK(strongroom_vault_protections_json(vault, &json));
    REQUIRE(strstr(json, windows == STRONGROOM_WINDOWS_PAGES ? "\"windows\": \"pages\""
                                                             : "\"windows\": \"keys\"") != NULL);
    strongroom_text_free(&json);
    OK(strongroom_vault_verify(vault));
    strongroom_vault_free(&vault);
}

static void a_store_has_windows_too(uint32_t windows)
{
    strongroom_vault *vault = shut(windows);
    strongroom_store *store;
    strongroom_opened *opened;
    uint32_t version;
    OK(strongroom_store_new(vault, 0, 0, &store));
    OK(strongroom_store_insert(store, "a", 1, "12345", 5, 0, &version));
    OK(strongroom_store_open(store, "a", 1, 0, &opened));
    look(opened);
    OK(strongroom_opened_close(&opened));
    strongroom_store_free(&store);
    strongroom_vault_free(&vault);
}

/* What hands out plain pointers takes no vault with windows, and none that might have some. */
static void plain_pointers_are_refused(void)
{
    strongroom_options *options;
    OK(strongroom_options_new(&options));
    for (uint32_t windows = 1; windows <= 4; windows++) {
        OK(strongroom_options_windows(options, windows));
        IS(STRONGROOM_WINDOWS_REFUSED, strongroom_malloc_install(options));
        REQUIRE(strstr(strongroom_error_message(), "windows") != NULL);
    }
    OK(strongroom_options_windows(options, STRONGROOM_WINDOWS_NONE));
    OK(strongroom_malloc_install(options));
    strongroom_options_free(&options);
}

static void without_windows_it_is_always_there(void)
{
    strongroom_vault *vault = shut(STRONGROOM_WINDOWS_NONE);
    strongroom_opened *opened = five(vault);
    uint32_t kind = 7;
    OK(strongroom_opened_windows(opened, &kind));
    REQUIRE(kind == STRONGROOM_WINDOWS_NONE);
    look(opened);
    first = seen[0];
    OK(strongroom_opened_close(&opened));
    strongroom_vault_free(&vault);
}

int main(void)
{
    uint32_t kinds[] = {STRONGROOM_WINDOWS_PAGES, STRONGROOM_WINDOWS_KEYS};
    int count = has_keys() ? 2 : 1;
    for (int kind = 0; kind < count; kind++) {
        uint32_t windows = kinds[kind];
        a_window_ends_in_its_thread(windows);
        a_store_has_windows_too(windows);
        REQUIRE(faults(read_after_the_end, windows));
        REQUIRE(faults(write_after_the_end, windows));
        REQUIRE(faults(read_after_the_last_end, windows));
        REQUIRE(faults(read_a_chunk_after_its_end, windows));
    }
    REQUIRE(!faults(read_after_the_end, STRONGROOM_WINDOWS_NONE));
    without_windows_it_is_always_there();
    plain_pointers_are_refused();
    return 0;
}
