"""A program of pysodium's, unchanged: what it does is what its users do. Started with the drop-in before it."""
import ctypes
import pysodium

# It does not do so itself, and libsodium's own memory needs it.
assert pysodium.sodium_init() >= 0

nonce = b"\0" * pysodium.crypto_box_NONCEBYTES
public, secret = pysodium.crypto_box_keypair()
box = pysodium.crypto_box(b"hello", nonce, public, secret)
assert pysodium.crypto_box_open(box, nonce, public, secret) == b"hello"
public, secret = pysodium.crypto_sign_keypair()
pysodium.crypto_sign_verify_detached(pysodium.crypto_sign_detached(b"text", secret), b"text", public)
key = pysodium.crypto_pwhash(
    32, "hunter2", b"0" * pysodium.crypto_pwhash_SALTBYTES, pysodium.crypto_pwhash_OPSLIMIT_INTERACTIVE,
    pysodium.crypto_pwhash_MEMLIMIT_INTERACTIVE, pysodium.crypto_pwhash_ALG_ARGON2ID13)
assert len(key) == 32


def memory_of(library):
    library.sodium_malloc.restype = ctypes.c_void_p
    library.sodium_malloc.argtypes = [ctypes.c_size_t]
    library.sodium_free.argtypes = [ctypes.c_void_p]
    return library.sodium_malloc, library.sodium_free


# The program's own scope has the drop-in's functions: 500 at once under any limit of 64 KiB.
malloc, free = memory_of(ctypes.CDLL(None))
held = [malloc(64) for _ in range(500)]
assert all(held) and all(pointer % 16 == 0 for pointer in held)
assert ctypes.string_at(held[0], 64) == b"\xdb" * 64
# By the library's handle it is libsodium's own, past any LD_PRELOAD. They get along.
own_malloc, own_free = memory_of(pysodium.sodium)
own = own_malloc(100)
assert own and (own + 100) % 4096 == 0, "this is no memory of libsodium's own any more: say so in docs/DROP-IN.md"
own_free(own)
for pointer in held:
    free(pointer)
print("passed")
