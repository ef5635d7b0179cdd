// strongroom: many secrets under few locked pages, sealed at rest.
//
//     pkg-config --cflags --libs strongroom
//
// Every function that can fail returns a strongroom_status, and says why in
// strongroom_error_message(). None unwinds or ends the process, with one exception that is said at
// strongroom_free.
//
// Pointers. A pointer to bytes may be NULL if their number is 0. Any other pointer that is NULL, and is
// not said to be optional, is answered with STRONGROOM_NULL_ARGUMENT. What is not NULL must be what it
// says: bytes that may be read or written, a handle that this library gave and did not take back. What
// is given out comes through a pointer to a handle, which is NULL after a failure. What is taken back
// is taken through a pointer to the handle, which is NULL afterwards: to take it back twice does nothing.
//
// Threads. A vault, a store and an open secret may be used by several threads at once; options, a
// stream and an opening by one at a time. A handle is taken back by one, when no other uses it.
//
// fork(2). A forked child sees nothing of the locked memory of its parent: every call that would need
// it answers STRONGROOM_FORKED, and handles may be taken back. The child may make a vault of its own.


#ifndef STRONGROOM_H
#define STRONGROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A status that nobody looks at is a failure that nobody sees.
#if defined(__GNUC__) || defined(__clang__)
#define STRONGROOM_MUST_USE __attribute__((warn_unused_result))
#else
#define STRONGROOM_MUST_USE
#endif


// The bytes by which a record is longer than its secret.
#define STRONGROOM_RECORD_OVERHEAD 24

// A time in milliseconds that does not end.
#define STRONGROOM_FOREVER UINT64_MAX

// What a call came to. Values stay as they are; new ones may be added.
typedef enum strongroom_status {
  // It was done.
  STRONGROOM_OK = 0,
  // A pointer is NULL that must not be.
  STRONGROOM_NULL_ARGUMENT = 1,
  // An argument is none that could be meant: the message says which, and what could.
  STRONGROOM_INVALID_ARGUMENT = 2,
  // There is no room now: close an open secret, wait, or give the vault a larger budget.
  STRONGROOM_FULL = 3,
  // There was no room in time.
  STRONGROOM_TIMED_OUT = 4,
  // It would not fit even if nothing else were open.
  STRONGROOM_TOO_LARGE = 5,
  // What was asked for together could not be open together even if nothing else were.
  STRONGROOM_NEVER_TOGETHER = 6,
  // The record was changed, is another's, or belongs to another vault or context.
  STRONGROOM_TAMPERED = 7,
  // The vault was destroyed, or all memory was wiped.
  STRONGROOM_DESTROYED = 8,
  // This process was forked from the one that made the vault, and sees nothing of it.
  STRONGROOM_FORKED = 9,
  // The operating system gives no random bytes.
  STRONGROOM_NO_ENTROPY = 10,
  // A share of the key cannot rest in the kernel's keyring, or is not there any more.
  STRONGROOM_KEY_SHARE = 11,
  // The memory could not be locked.
  STRONGROOM_NOT_LOCKED = 12,
  // The budget is too small, or ends below its start.
  STRONGROOM_BUDGET = 13,
  // So much was sealed that the vault must be renewed, or another be made.
  STRONGROOM_EXHAUSTED = 14,
  // The buffer for the answer is too small; how long it must be was stored where the length goes.
  STRONGROOM_BUFFER_TOO_SMALL = 15,
  // Not yet: the callback is called when it may be tried again; a stream wants more bytes first.
  STRONGROOM_PENDING = 16,
  // Bytes of the secret are out: end the exposure first.
  STRONGROOM_EXPOSED = 17,
  // There is no exposure to end.
  STRONGROOM_NOT_EXPOSED = 18,
  // The secret is open for others too and cannot be changed: open it alone.
  STRONGROOM_SHARED = 19,
  // The store has no secret of that name, or the vault no reserve.
  STRONGROOM_NOT_FOUND = 20,
  // The name has a secret already.
  STRONGROOM_EXISTS = 21,
  // The secret was replaced meanwhile.
  STRONGROOM_OTHER_VERSION = 22,
  // The store holds as many secrets as it may.
  STRONGROOM_STORE_FULL = 23,
  // The name's secret was replaced as often as can be counted.
  STRONGROOM_VERSIONS_USED_UP = 24,
  // This is no sealed stream.
  STRONGROOM_NOT_A_STREAM = 25,
  // The stream's chunks are longer than the room for one.
  STRONGROOM_CHUNK_TOO_LONG = 26,
  // The stream ends before its last chunk.
  STRONGROOM_TRUNCATED = 27,
  // Something follows the end of the stream.
  STRONGROOM_FOLLOWED = 28,
  // The stream was ended.
  STRONGROOM_ENDED = 29,
  // A vault is installed for strongroom_malloc already.
  STRONGROOM_ALREADY_INSTALLED = 30,
  // Damage was found: something wrote past an end of a secret, or into free memory.
  STRONGROOM_DAMAGED = 31,
  // A fault inside this library. Please report it, with the message.
  STRONGROOM_INTERNAL = 32,
  // The memory cannot have the windows that were asked for; or it would have to hand out plain pointers,
  // which memory with windows does not.
  STRONGROOM_WINDOWS_REFUSED = 33,
  // Nothing tells this process that its machine was cloned: the message says why, and what would.
  STRONGROOM_CLONES_UNSEEN = 34,
} strongroom_status;

// The kinds of damage.
typedef enum strongroom_fault_kind {
  // Something wrote below the start of a secret.
  STRONGROOM_FAULT_KIND_CANARY_BEFORE = 0,
  // Something wrote past the end of a secret.
  STRONGROOM_FAULT_KIND_CANARY_AFTER = 1,
  // Something wrote to free memory: somebody kept a pointer.
  STRONGROOM_FAULT_KIND_WRITE_AFTER_FREE = 2,
  // strongroom_free was given what it was given before.
  STRONGROOM_FAULT_KIND_DOUBLE_FREE = 3,
  // strongroom_free was given what strongroom_malloc never gave.
  STRONGROOM_FAULT_KIND_FOREIGN_FREE = 4,
  // Memory was released with another size than it was allocated with.
  STRONGROOM_FAULT_KIND_WRONG_LAYOUT = 5,
  // Another kind, of a later version.
  STRONGROOM_FAULT_KIND_OTHER = 6,
} strongroom_fault_kind;

// What kind of memory to lock.
typedef enum strongroom_backing {
  // Anonymous memory, locked by mlock(2). The default.
  STRONGROOM_BACKING_ANONYMOUS = 0,
  // Secret memory, memfd_secret(2), or an error.
  STRONGROOM_BACKING_SECRET_MEMORY = 1,
  // Secret memory where the system gives it, else anonymous memory.
  STRONGROOM_BACKING_PREFER_SECRET_MEMORY = 2,
} strongroom_backing;

// Where one of the two shares of the vault's key rests.
typedef enum strongroom_key_share {
  // In locked memory, like the other. The default.
  STRONGROOM_KEY_SHARE_LOCKED_MEMORY = 0,
  // In process-keyring(7), or an error.
  STRONGROOM_KEY_SHARE_PROCESS_KEYRING = 1,
  // In session-keyring(7), or an error.
  STRONGROOM_KEY_SHARE_SESSION_KEYRING = 2,
  // In process-keyring(7) where the system gives one, else in locked memory.
  STRONGROOM_KEY_SHARE_PREFER_PROCESS_KEYRING = 3,
  // In session-keyring(7) where the system gives one, else in locked memory.
  STRONGROOM_KEY_SHARE_PREFER_SESSION_KEYRING = 4,
} strongroom_key_share;

// What to do when memory cannot be locked.
typedef enum strongroom_policy {
  // It fails, or does not grow. The default.
  STRONGROOM_POLICY_REQUIRE = 0,
  // It goes on in unlocked memory, which can be written to the swap device, and says so: see
  // strongroom_vault_protections_json.
  STRONGROOM_POLICY_PREFER = 1,
} strongroom_policy;

// Whether a vault's memory is shut but for the moments in which somebody uses it.
typedef enum strongroom_windows {
  // The memory is always open. The default.
  STRONGROOM_WINDOWS_NONE = 0,
  // By page protection, mprotect(2), on every machine: while any thread has a window on any secret, all
  // threads can read all of them, and the first window and the end of the last one are a system call
  // each.
  STRONGROOM_WINDOWS_PAGES = 1,
  // By memory protection keys, pkeys(7), or an error: a window is the thread's own and costs no system
  // call.
  STRONGROOM_WINDOWS_KEYS = 2,
  // By keys where the machine has them, else by pages.
  STRONGROOM_WINDOWS_KEYS_OR_PAGES = 3,
  // By keys where the machine has them, else not at all.
  STRONGROOM_WINDOWS_KEYS_OR_NONE = 4,
} strongroom_windows;

// Opens what is pushed into it, chunk by chunk.
typedef struct strongroom_open_stream strongroom_open_stream;

// An open secret, in locked memory between canaries. Close it as soon as it was used.
typedef struct strongroom_opened strongroom_opened;

// A secret that is waited for: see strongroom_open_begin.
typedef struct strongroom_opening strongroom_opening;

// What a vault is to be: see strongroom_options_new.
typedef struct strongroom_options strongroom_options;

// Seals what is pushed into it, chunk by chunk. Only the vault that sealed a stream can open it.
typedef struct strongroom_seal_stream strongroom_seal_stream;

// Names to secrets: sealed in ordinary memory, side by side, and opened in a vault.
typedef struct strongroom_store strongroom_store;

// A vault, or the part of its memory that a reserve names.
typedef struct strongroom_vault strongroom_vault;

// The numbers behind a failure; 0 for what is not about it. Later versions add fields at the end.
typedef struct strongroom_numbers {
  // The bytes that were asked for.
  uint64_t requested;
  // The most bytes that a secret can have in this vault, if those were more.
  uint64_t largest;
  // Secrets that were open when there was no room.
  uint64_t held;
  // The bytes that open secrets can share.
  uint64_t capacity;
  // Callers that were waiting.
  uint64_t waiters;
  // How long it was waited for, in nanoseconds.
  uint64_t waited_ns;
  // 1 if the budget allows more, but the system would not lock it.
  uint64_t growth_refused;
} strongroom_numbers;

// Is told of damage, with the fixed text of its kind. It may end the process; if it returns, the damaged
// memory is wiped and not used again, and the call in which it was found goes on. It is called in
// whatever thread found it, and under no lock.
typedef void (*strongroom_fault_handler)(enum strongroom_fault_kind kind,
                                         const char *message,
                                         void *user_data);

// Who is called when it is worth asking again.
typedef struct strongroom_waker {
  // Is called, from whatever thread made room and under no lock, at most once after each
  // STRONGROOM_PENDING. It must not wait; it may call this library. It may be called before the call
  // that answers STRONGROOM_PENDING has returned, and now and then without need.
  void (*wake)(void *user_data);
  // Is called once, from whatever thread, when `user_data` will not be used any more: to free it, say.
  // Until then it may be, even after strongroom_opening_cancel; and it is called after a failure too,
  // whichever that is. May be NULL.
  void (*release)(void *user_data);
  // Is given to both.
  void *user_data;
} strongroom_waker;

// One of several records that are opened together.
typedef struct strongroom_request {
  // The record.
  const void *record;
  // Its length in bytes.
  size_t record_len;
  // What it was sealed for.
  const void *context;
  // The length of that in bytes.
  size_t context_len;
} strongroom_request;

// What a vault holds and has seen; sizes are in bytes. All 0 in a forked child. Later versions add
// fields at the end.
typedef struct strongroom_metrics {
  // The most that the vault locks, reserves included.
  uint64_t budget;
  // What it has locked now, less what the kernel says is not locked any more.
  uint64_t locked;
  // What the kernel says is not locked; UINT64_MAX if it does not say.
  uint64_t unlocked;
  // What lies in runs and blocks with a live secret, the shares of the key included.
  uint64_t used;
  // Secrets that are open now.
  uint64_t live;
  // The most that were seen open at once.
  uint64_t peak;
  // Callers that are waiting now.
  uint64_t waiters;
  // Calls that waited.
  uint64_t waits;
  // The longest of those waits, in nanoseconds.
  uint64_t longest_wait_ns;
  // Calls that were told that there is no room.
  uint64_t refusals;
  // Faults found.
  uint64_t faults;
  // Stretches of locked memory now.
  uint64_t rooms;
  // Stretches that were added.
  uint64_t grown;
  // Stretches that were given back.
  uint64_t given_back;
  // Times the system would not lock more.
  uint64_t growth_refusals;
} strongroom_metrics;

// Is called with each name and the version of its secret.
typedef void (*strongroom_name_visitor)(const void *name,
                                        size_t name_len,
                                        uint32_t version,
                                        void *user_data);

// What a store holds and has seen. Later versions add fields at the end.
typedef struct strongroom_store_metrics {
  // Names that stand for a secret.
  uint64_t secrets;
  // Bytes of ordinary memory for records.
  uint64_t record_bytes;
  // Secrets that are open now, each counted once however many read it.
  uint64_t open;
  // Of these, those that nobody reads and that linger.
  uint64_t lingering;
  // How often a secret was decrypted to be read by whoever asks.
  uint64_t decryptions;
  // How often one that lingered was given up because room was needed.
  uint64_t given_up;
} strongroom_store_metrics;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Why the calling thread's last call that failed did: the cause, the numbers, and what to change. An
// empty text if none did. It stays until the thread calls this function again, or ends.
const char *strongroom_error_message(void);

// The numbers behind what strongroom_error_message tells of the calling thread's last failure. `size` is
// sizeof *numbers: what this library knows beyond that is left out, and what it does not know is 0.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_error_numbers_read(struct strongroom_numbers *numbers,
                                                     size_t size);

// The library's version, as in "0.1.0".
const char *strongroom_version(void);

// Has `handler` told of damage, in the vaults that were made and those that will be. NULL for none: then
// the call that finds it answers STRONGROOM_DAMAGED, and does not do what it was to do; what is found
// by a thread of the library's own is only counted (strongroom_metrics). Closing a secret answers so in
// any case. Set it once, at the start: each one that was set stays in memory.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_on_fault(strongroom_fault_handler handler,
                                           void *user_data);

// Makes the vault that strongroom_malloc takes memory of: once, before its first call, which else makes one
// that locks 16 KiB from the start and as much as the system allows at most. `options` may be NULL, for
// their defaults; those with windows are refused with STRONGROOM_WINDOWS_REFUSED. When the process exits, all memory is wiped as by strongroom_wipe_all.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_malloc_install(const struct strongroom_options *options);

// `size` bytes of locked memory, all zero, between canaries, at an address that is a multiple of 16. NULL
// with errno ENOMEM if there is no room, and strongroom_error_message says why: it never waits. 0 bytes
// are as good as 1.
void *strongroom_malloc(size_t size);

// Room for `count` objects of `size` bytes each, as strongroom_malloc. NULL with errno ENOMEM too if that
// is more than there are addresses.
void *strongroom_calloc(size_t count,
                        size_t size);

// Memory of another size with the contents of `pointer`, as many as fit, which is wiped and released. On
// failure it is NULL, and `pointer` stays as it was: for a moment there are both. A `pointer` that is NULL
// is as strongroom_malloc. What is no memory of strongroom_malloc's is a fault, see strongroom_free.
void *strongroom_realloc(void *pointer,
                         size_t size);

// Wipes memory of strongroom_malloc's and releases it; nothing if it is NULL.
//
// If something wrote past an end of it, or if it was released already or never given, the handler of
// strongroom_on_fault is called. **Without one the process is aborted**, after a line to the standard
// error, as free(3) does it: this function has no answer that anybody could look at. A forked child may
// release what its parent allocated.
void strongroom_free(void *pointer);

// How many bytes were asked for when this memory was allocated: there are no more to be used, what follows
// is a canary. 0 for NULL, and for what is no memory of strongroom_malloc's.
size_t strongroom_usable_size(const void *pointer);

// The secret's length in bytes, stored in `len`.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_opened_len(const struct strongroom_opened *opened,
                                             size_t *len);

// Which version of its name's secret it is, stored in `version`; 0 if it was not opened by
// strongroom_store_open.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_opened_version(const struct strongroom_opened *opened,
                                                 uint32_t *version);

// Exposes the secret to be read: its bytes stay where `bytes` points to until strongroom_opened_end,
// which the same thread calls once for each exposure. Several may read at once.
//
// Where the vault has windows (strongroom_options_windows) its memory is open from here to there, and whoever
// touches it before or afterwards ends the process.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_opened_read(const struct strongroom_opened *opened,
                                              const uint8_t **bytes,
                                              size_t *len);

// Exposes the secret to be changed, by nobody else, until strongroom_opened_end. One that is open for
// others too (strongroom_store_open) is refused with STRONGROOM_SHARED.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_opened_write(const struct strongroom_opened *opened,
                                               uint8_t **bytes,
                                               size_t *len);

// Ends what strongroom_opened_read or strongroom_opened_write began; the bytes must not be used any more.
// STRONGROOM_NOT_EXPOSED if nothing was begun, or, where the vault has windows, not by this thread.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_opened_end(const struct strongroom_opened *opened);

// What shuts the memory that the secret is in, stored in `windows`: STRONGROOM_WINDOWS_NONE,
// STRONGROOM_WINDOWS_PAGES or STRONGROOM_WINDOWS_KEYS. For whoever would keep its bytes exposed for long.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_opened_windows(const struct strongroom_opened *opened,
                                                 uint32_t *windows);

// Whether the secret equals `other`, stored in `equal`, in a time that depends on the lengths alone.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_opened_equals(const struct strongroom_opened *opened,
                                                const void *other,
                                                size_t other_len,
                                                bool *equal);

// Fills the secret with random bytes, from the vault's generator: a new key.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_opened_fill_random(const struct strongroom_opened *opened);

// Seals the secret from where it is open, as strongroom_seal does. It stays open.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_opened_seal(const struct strongroom_opened *opened,
                                              const void *context,
                                              size_t context_len,
                                              void *record,
                                              size_t record_capacity,
                                              size_t *record_len);

// Closes an open secret: wipes it and makes room for those who wait. STRONGROOM_DAMAGED if something
// wrote past an end of it; it is closed all the same. STRONGROOM_EXPOSED if an exposure has not ended;
// it is then as it was. A forked child may close what its parent opened.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_opened_close(struct strongroom_opened **opened);

// Opens a record without a thread that waits. STRONGROOM_OK: it is open, in `opened`. STRONGROOM_PENDING:
// it waits in line, as `opening`, and `waker` is called when it is worth asking again
// (strongroom_opening_finish). Anything else: it failed, and nothing waits.
//
// The record and the context are copied. Who is woken and does not come within 50 milliseconds is passed
// by others, and keeps the place in line.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_open_begin(const struct strongroom_vault *vault,
                                             const void *record,
                                             size_t record_len,
                                             const void *context,
                                             size_t context_len,
                                             struct strongroom_waker waker,
                                             struct strongroom_opening **opening,
                                             struct strongroom_opened **opened);

// Opens `count` records, all or none (strongroom_open_all), without a thread that waits; otherwise as
// strongroom_open_begin. `opened` has room for `count` handles, and so has that of
// strongroom_opening_finish.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_open_all_begin(const struct strongroom_vault *vault,
                                                 const struct strongroom_request *requests,
                                                 size_t count,
                                                 struct strongroom_waker waker,
                                                 struct strongroom_opening **opening,
                                                 struct strongroom_opened **opened);

// Opens a name's secret for all who ask for it (strongroom_store_open) without a thread that waits;
// otherwise as strongroom_open_begin.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_open_begin(const struct strongroom_store *store,
                                                   const void *name,
                                                   size_t name_len,
                                                   struct strongroom_waker waker,
                                                   struct strongroom_opening **opening,
                                                   struct strongroom_opened **opened);

// Room for a new secret of `len` bytes (strongroom_allocate) without a thread that waits; otherwise as
// strongroom_open_begin.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_allocate_begin(const struct strongroom_vault *vault,
                                                 size_t len,
                                                 struct strongroom_waker waker,
                                                 struct strongroom_opening **opening,
                                                 struct strongroom_opened **opened);

// Asks again. STRONGROOM_PENDING: not yet, and the waker is called anew. Anything else ends the opening
// and takes it back: STRONGROOM_OK with the secret in `opened`, or why it failed.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_opening_finish(struct strongroom_opening **opening,
                                                 struct strongroom_opened **opened);

// Ends the waiting, gives the place in line to the next, and takes the opening back. A callback may be
// running in another thread still, or just about to: `release` says when there is none any more.
void strongroom_opening_cancel(struct strongroom_opening **opening);

// Options of their defaults: 64 KiB, no less and no more, of memory that must be locked. Take them back
// with strongroom_options_free.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_options_new(struct strongroom_options **options);

// How many bytes the vault locks: `floor` from the start and always, rounded up to whole pages, and
// `ceiling` at most, what is reserved not counted.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_options_budget(struct strongroom_options *options,
                                                 size_t floor,
                                                 size_t ceiling);

// Locks `bytes` more that only those can use who name this reserve: see strongroom_vault_reserve.
// `name` is a text of UTF-8.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_options_reserve(struct strongroom_options *options,
                                                  const char *name,
                                                  size_t bytes);

// What to do when memory cannot be locked: a strongroom_policy.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_options_policy(struct strongroom_options *options,
                                                 uint32_t policy);

// What kind of memory to lock: a strongroom_backing.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_options_backing(struct strongroom_options *options,
                                                  uint32_t backing);

// Whether the memory is shut but for the moments in which somebody uses it: a strongroom_windows. A window is
// open from strongroom_opened_read, strongroom_opened_write or strongroom_open_stream_read to the call that
// ends the exposure, which must be the same thread's; whoever touches the memory otherwise ends the process
// (SIGSEGV). The budget then begins at two pages.
//
// Where there can be none it is an error, STRONGROOM_WINDOWS_REFUSED; with STRONGROOM_POLICY_PREFER the vault
// has none, and says so: see strongroom_vault_protections_json. strongroom_malloc hands out plain pointers and
// takes no options with windows.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_options_windows(struct strongroom_options *options,
                                                  uint32_t windows);

// Where one of the two shares of the key rests: a strongroom_key_share. One that was loaded from a
// keyring is kept in locked memory for `kept_ms` milliseconds, for those who seal or open next.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_options_key_share(struct strongroom_options *options,
                                                    uint32_t key_share,
                                                    uint64_t kept_ms);

// How long memory beyond the floor that nothing is open in is kept, in milliseconds. The default is
// 10,000.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_options_linger(struct strongroom_options *options,
                                                 uint64_t linger_ms);

// Takes options back. Vaults that were made of them stay as they are.
void strongroom_options_free(struct strongroom_options **options);

// Counts what the vault holds and has seen. `size` is sizeof *metrics: what this library counts beyond
// that is left out, and what it does not count is 0.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_vault_metrics_read(const struct strongroom_vault *vault,
                                                     struct strongroom_metrics *metrics,
                                                     size_t size);

// What the system has granted for all of the vault's memory, and why it did not grant more, as a JSON
// object. Take the text back with strongroom_text_free.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_vault_protections_json(const struct strongroom_vault *vault,
                                                         char **json);

// How much memory this process may lock, how many secrets fit, and what came of trying, as a JSON object:
// what `strongroom-doctor --json` says. If `open` and `size` are not 0, it says too whether so many
// secrets of so many bytes can be open at one time. It locks what it tries for a moment, in a child
// process. Take the text back with strongroom_text_free.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_doctor_json(uint64_t open,
                                              uint64_t size,
                                              char **json);

// The sentence that says what to change so that `bytes` more bytes can be locked; NULL if they can be
// already, or if that cannot be told. Take it back with strongroom_text_free.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_limits_remedy(uint64_t bytes,
                                                char **remedy);

// Takes a text back.
void strongroom_text_free(char **text);

// Makes an empty store, whose secrets are sealed and opened in the vault, or in a reserve of it.
//
// It refuses more than `most` secrets; 0 for as many as memory holds. A secret stays open for
// `linger_ms` milliseconds after its last reader has closed it, for whoever asks for it next, unless its
// room is needed; 0 for not at all.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_new(const struct strongroom_vault *vault,
                                            size_t most,
                                            uint64_t linger_ms,
                                            struct strongroom_store **store);

// Takes a store back. Its records go when what is open of it is closed.
void strongroom_store_free(struct strongroom_store **store);

// Seals a secret under a name that stands for none; else STRONGROOM_EXISTS. After `expires_ms`
// milliseconds the name stands for nothing again; 0 for never. The version, which is 1, is stored in
// `version` unless that is NULL.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_insert(const struct strongroom_store *store,
                                               const void *name,
                                               size_t name_len,
                                               const void *secret,
                                               size_t secret_len,
                                               uint64_t expires_ms,
                                               uint32_t *version);

// Puts another secret in the place of a name's, or STRONGROOM_NOT_FOUND. At every moment the name opens
// as one of the two; what is open stays what it was. Otherwise as strongroom_store_insert.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_replace(const struct strongroom_store *store,
                                                const void *name,
                                                size_t name_len,
                                                const void *secret,
                                                size_t secret_len,
                                                uint64_t expires_ms,
                                                uint32_t *version);

// Seals a secret under a name, in the place of another or of none. Otherwise as strongroom_store_insert.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_put(const struct strongroom_store *store,
                                            const void *name,
                                            size_t name_len,
                                            const void *secret,
                                            size_t secret_len,
                                            uint64_t expires_ms,
                                            uint32_t *version);

// Puts another secret in the place of a name's if that has the version `old` still, else
// STRONGROOM_OTHER_VERSION: for those who have read it and made the new one of it.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_replace_version(const struct strongroom_store *store,
                                                        const void *name,
                                                        size_t name_len,
                                                        uint32_t old,
                                                        const void *secret,
                                                        size_t secret_len,
                                                        uint32_t *version);

// Removes a name and its secret, or STRONGROOM_NOT_FOUND. What is open of it stays open for those who
// have it.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_remove(const struct strongroom_store *store,
                                               const void *name,
                                               size_t name_len);

// Removes all whose time is over, and stores how many those were in `removed`, unless that is NULL: for
// names that nobody asks for any more. It walks over all names.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_remove_expired(const struct strongroom_store *store,
                                                       size_t *removed);

// Whether a name stands for a secret, stored in `contains`.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_contains(const struct strongroom_store *store,
                                                 const void *name,
                                                 size_t name_len,
                                                 bool *contains);

// The version of a name's secret, stored in `version`, or STRONGROOM_NOT_FOUND.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_version(const struct strongroom_store *store,
                                                const void *name,
                                                size_t name_len,
                                                uint32_t *version);

// How many names stand for a secret, stored in `len`.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_len(const struct strongroom_store *store,
                                            size_t *len);

// Calls `visit` with each name, in no order and under no lock. What is put in or removed meanwhile, by
// `visit` too, may be missed or not.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_for_each_name(const struct strongroom_store *store,
                                                      strongroom_name_visitor visit,
                                                      void *user_data);

// Opens a name's secret for all who ask for it, waiting as strongroom_open does. Those who open the same
// name at the same time read the same memory: a thousand threads that use one password take one place in
// the vault, and it is decrypted once. It can be read, not changed.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_open(const struct strongroom_store *store,
                                             const void *name,
                                             size_t name_len,
                                             uint64_t timeout_ms,
                                             struct strongroom_opened **opened);

// Opens a name's secret for the caller alone, who may change what is open; that changes no record. It
// may outlive the store. Otherwise as strongroom_open.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_open_alone(const struct strongroom_store *store,
                                                   const void *name,
                                                   size_t name_len,
                                                   uint64_t timeout_ms,
                                                   struct strongroom_opened **opened);

// Counts what the store holds and has seen. `size` is sizeof *metrics: what this library counts beyond
// that is left out, and what it does not count is 0.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_store_metrics_read(const struct strongroom_store *store,
                                                     struct strongroom_store_metrics *metrics,
                                                     size_t size);

// Begins a stream, with room in locked memory for one chunk of `chunk_len` bytes, which it keeps until
// it is taken back; 0 for 16 KiB. It waits for that room as strongroom_open does. Opening takes the same
// context again.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_seal_stream_new(const struct strongroom_vault *vault,
                                                  size_t chunk_len,
                                                  const void *context,
                                                  size_t context_len,
                                                  uint64_t timeout_ms,
                                                  struct strongroom_seal_stream **stream);

// The most bytes of the stream that pushing `len` bytes can give, and those of strongroom_seal_stream_end
// if `len` is 0; stored in `bound`.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_seal_stream_bound(const struct strongroom_seal_stream *stream,
                                                    size_t len,
                                                    size_t *bound);

// Seals `len` bytes more, and writes the bytes of the stream that this gives to `sealed`, which has room
// for `capacity`: strongroom_seal_stream_bound says how much is enough. How many it gave is stored in
// `sealed_len`; if the room is too small, how much it takes, and nothing was pushed.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_seal_stream_push(struct strongroom_seal_stream *stream,
                                                   const void *secret,
                                                   size_t len,
                                                   void *sealed,
                                                   size_t capacity,
                                                   size_t *sealed_len);

// Seals what was pushed so far as a shorter chunk, for a reader at the other end. Otherwise as
// strongroom_seal_stream_push of 0 bytes.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_seal_stream_flush(struct strongroom_seal_stream *stream,
                                                    void *sealed,
                                                    size_t capacity,
                                                    size_t *sealed_len);

// Seals the last chunk, without which a stream is a truncated one, which does not open. Otherwise as
// strongroom_seal_stream_push of 0 bytes.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_seal_stream_end(struct strongroom_seal_stream *stream,
                                                  void *sealed,
                                                  size_t capacity,
                                                  size_t *sealed_len);

// Takes a stream back, and wipes what it holds.
void strongroom_seal_stream_free(struct strongroom_seal_stream **stream);

// Begins to open a stream, with room in locked memory for one chunk of `chunk_len` bytes, which it keeps
// until it is taken back; 0 for 16 KiB. A stream whose chunks are longer does not open.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_open_stream_new(const struct strongroom_vault *vault,
                                                  size_t chunk_len,
                                                  const void *context,
                                                  size_t context_len,
                                                  uint64_t timeout_ms,
                                                  struct strongroom_open_stream **stream);

// Pushes the next bytes of the stream. It takes no more than about two chunks before those are read; how
// many it took is stored in `taken`: read (strongroom_open_stream_read), then push the rest. No bytes say
// that there are no more.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_open_stream_push(struct strongroom_open_stream *stream,
                                                   const void *sealed,
                                                   size_t len,
                                                   size_t *taken);

// Exposes what is open of the stream's next chunk, in locked memory, until strongroom_open_stream_end.
// STRONGROOM_PENDING: push more first. No bytes: the stream has ended, and nothing was left out.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_open_stream_read(struct strongroom_open_stream *stream,
                                                   const uint8_t **bytes,
                                                   size_t *len);

// Ends what strongroom_open_stream_read began, and wipes the first `used` of the bytes, which are not
// shown again.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_open_stream_end(struct strongroom_open_stream *stream,
                                                  size_t used);

// Takes a stream back, and wipes what it holds.
void strongroom_open_stream_free(struct strongroom_open_stream **stream);

// Makes a vault that locks `budget` bytes, rounded up to whole pages, no less and no more: 65536, say.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_vault_new(size_t budget,
                                            struct strongroom_vault **vault);

// Makes a vault of options, or of their defaults if `options` is NULL. They may be used again.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_vault_build(const struct strongroom_options *options,
                                              struct strongroom_vault **vault);

// A second handle of the vault, to be taken back by itself.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_vault_share(const struct strongroom_vault *vault,
                                              struct strongroom_vault **other);

// A handle for those who may use the reserve of that name too, which the vault's options have named. It
// is used like the vault's: they use the common memory while there is room and nobody waits for it, and
// the reserve when not.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_vault_reserve(const struct strongroom_vault *vault,
                                                const char *name,
                                                struct strongroom_vault **reserve);

// Takes a handle back. The vault goes with the last of its handles, open secrets, openings, streams and
// stores; what it sealed is then unreadable for good.
void strongroom_vault_free(struct strongroom_vault **vault);

// Wipes the key: all that was sealed is unreadable for good, and those who wait to open it are told at
// once. What is open stays open.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_vault_destroy(const struct strongroom_vault *vault);

// Gives back at once all memory beyond the floor that nothing is open in.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_vault_trim(const struct strongroom_vault *vault);

// Draws new shares of the key: what was seen of one share before is of no use afterwards.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_vault_refresh(const struct strongroom_vault *vault);

// Goes on sealing under numbers that no copy of this machine uses: for a virtual machine that is resumed
// from a snapshot. What was sealed stays readable.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_vault_renew(const struct strongroom_vault *vault);

// Checks every canary and every free byte: STRONGROOM_DAMAGED if one was overwritten.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_vault_verify(const struct strongroom_vault *vault);

// Fills `bytes` with random bytes, from the vault's generator.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_fill_random(const struct strongroom_vault *vault,
                                              void *bytes,
                                              size_t len);

// The bytes that the record of a secret of so many bytes takes.
size_t strongroom_record_len(size_t secret_len);

// Seals a secret into a record, which may lie anywhere. `context` says what it is for; opening takes the
// same again.
//
// `record` has room for `record_capacity` bytes; how many the record takes, which is 24 more than the
// secret, is stored in `record_len`, also if the room is too small. The record does not overlap the
// secret.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_seal(const struct strongroom_vault *vault,
                                       const void *secret,
                                       size_t secret_len,
                                       const void *context,
                                       size_t context_len,
                                       void *record,
                                       size_t record_capacity,
                                       size_t *record_len);

// Seals a secret like strongroom_seal, and wipes it where it was. After a failure it is as it was.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_seal_and_wipe(const struct strongroom_vault *vault,
                                                void *secret,
                                                size_t secret_len,
                                                const void *context,
                                                size_t context_len,
                                                void *record,
                                                size_t record_capacity,
                                                size_t *record_len);

// Opens a record into locked memory, waiting up to `timeout_ms` milliseconds for room: 0 to be told at
// once, STRONGROOM_FOREVER to wait without end. Those who wait are served in the order in which they
// came. What no room would help is said at once.
//
// A thread that holds an open secret and waits for another may wait for ever, together with others that
// do the same: open together what is needed at the same time (strongroom_open_all).
STRONGROOM_MUST_USE
enum strongroom_status strongroom_open(const struct strongroom_vault *vault,
                                       const void *record,
                                       size_t record_len,
                                       const void *context,
                                       size_t context_len,
                                       uint64_t timeout_ms,
                                       struct strongroom_opened **opened);

// Opens `count` records, all or none, waiting as strongroom_open does: one place in line, and one wait.
// `opened` has room for as many handles. STRONGROOM_NEVER_TOGETHER, at once, if the budget is too small for
// all of them.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_open_all(const struct strongroom_vault *vault,
                                           const struct strongroom_request *requests,
                                           size_t count,
                                           uint64_t timeout_ms,
                                           struct strongroom_opened **opened);

// Room for a new secret of `len` bytes, all zero, waiting as strongroom_open does. Write it in place
// (strongroom_opened_write, strongroom_opened_fill_random), then seal it (strongroom_opened_seal).
STRONGROOM_MUST_USE
enum strongroom_status strongroom_allocate(const struct strongroom_vault *vault,
                                           size_t len,
                                           uint64_t timeout_ms,
                                           struct strongroom_opened **opened);

// Whether two byte strings are equal, stored in `equal`, in a time that depends on the lengths alone.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_constant_time_equal(const void *one,
                                                      size_t one_len,
                                                      const void *other,
                                                      size_t other_len,
                                                      bool *equal);

// Overwrites bytes with zeros, which no compiler leaves out.
STRONGROOM_MUST_USE enum strongroom_status strongroom_wipe(void *bytes, size_t len);

// Has every vault of this process renew itself, as strongroom_vault_renew does, before it seals next or draws
// random bytes: for the hook that is run when a machine was resumed from a snapshot. It takes no lock,
// allocates nothing and may be called in a signal handler. A vault that cannot renew itself then seals
// nothing: STRONGROOM_NO_ENTROPY.
void strongroom_renew_all(void);

// Has every vault of this process renew itself, as by strongroom_renew_all, when Linux tells that the machine
// was resumed as a copy, and when somebody sets the clock. Call it when the process starts, and again in a
// forked child that makes vaults of its own. Whether Linux would tell, in its log, is stored in `kernel_log`;
// if not, the clock alone tells. What is sealed before the notice has come is not protected: where a hook runs
// before that, call strongroom_renew_all in it. A thread waits for each notice and does nothing else.
// STRONGROOM_CLONES_UNSEEN if none would come.
STRONGROOM_MUST_USE
enum strongroom_status strongroom_renew_when_cloned(bool *kernel_log);

// Overwrites the locked memory of every vault of this process with zeros, keys included, and revokes the
// shares of keys that the kernel keeps. It takes no lock, allocates nothing and may be called in a signal
// handler. It is for a process that ends: afterwards every call answers STRONGROOM_DESTROYED.
void strongroom_wipe_all(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* STRONGROOM_H */
