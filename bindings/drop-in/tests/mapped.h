/* What the kernel says of the mapping that an address lies in. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Whether the flag (two letters of "VmFlags" in proc_pid_smaps(5)) is set there. */
static inline int has_flag(const void *address, const char *flag) {
    FILE *smaps = fopen("/proc/self/smaps", "r");
    char line[512];
    int is_there = 0, answer = 0;
    while (smaps != NULL && fgets(line, sizeof line, smaps) != NULL) {
        unsigned long first, end;
        if (sscanf(line, "%lx-%lx ", &first, &end) == 2 && strchr(line, '-') < strchr(line, ' ')) {
            is_there = first <= (uintptr_t)address && (uintptr_t)address < end;
        } else if (is_there && strncmp(line, "VmFlags:", 8) == 0) {
            char wanted[8];
            snprintf(wanted, sizeof wanted, " %s", flag);
            answer = strstr(line, wanted) != NULL;
            break;
        }
    }
    if (smaps != NULL) fclose(smaps);
    return answer;
}

static inline int is_locked(const void *address) { return has_flag(address, "lo"); }
static inline int is_out_of_dumps(const void *address) { return has_flag(address, "dd"); }

/* Bytes that are locked in this process. */
static inline long locked_bytes(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    long kib = -1;
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "VmLck: %ld kB", &kib) == 1) break;
    }
    if (status != NULL) fclose(status);
    return kib * 1024;
}
