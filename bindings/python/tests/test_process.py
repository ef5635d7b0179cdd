"""What a process keeps of a secret, in its memory, in its children, and at its end."""

# A memoryview equals bytes, whatever the types say.
# mypy: disable-error-code="comparison-overlap"

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import strongroom
from strongroom import Vault
from support import go_on, in_memory, is_locked, line_from, pattern, script

USES = """
import asyncio, gc, strongroom, sys
from support import pattern

def say(what):
    print(what, flush=True)
    sys.stdin.readline()

marker = pattern(int(sys.argv[2]))
vault = strongroom.Vault(64 * 1024)
store = strongroom.Store(vault)
secret = pattern(int(sys.argv[1]))
store.insert("a", secret)
sealed = vault.seal_and_wipe(secret, b"c")
assert secret == bytes(len(secret))

def check(view):
    # Byte by byte: no copy.
    assert all(byte == (at * at * 7 + at * 13 + int(sys.argv[1])) & 0xFF for at, byte in enumerate(view))

async def in_task():
    async with vault.open_async(sealed, b"c") as view:
        check(view)
    async with store.open_async("a") as view:
        check(view)

for _ in range(50):
    with vault.open(sealed, b"c") as view:
        check(view)
        assert not vault.open(sealed, b"c").equals(bytes(len(view)))
    with vault.open(sealed, b"c", writable=True) as view:
        view[0] ^= 1
    with store.open("a", timeout=1) as view:
        check(view)
    with vault.open_all([(sealed, b"c"), (sealed, b"c")]) as (view, other):
        assert view == other
    with pytest_raises(strongroom.ViewsRemain):
        with vault.open(sealed, b"c") as view:
            left = view[:]
    del left, view
    asyncio.run(in_task())
gc.collect()
say("closed")
with vault.open(sealed, b"c") as view:
    say("open")
    copied = bytes(view)
say("copied")
"""
USES = USES.replace("pytest_raises(", "__import__('pytest').raises(")


@pytest.mark.skipif(sys.platform != "linux", reason="reads another process's memory in /proc")
def test_the_interpreter_s_memory_has_a_secret_only_while_it_is_open_and_where_it_is_locked() -> None:
    secret, marker = pattern(201), pattern(150)
    with script(USES, "201", "150") as process:
        assert line_from(process.stdout) == "closed"
        assert in_memory(process.pid, marker), "the scan finds what is there"
        for part in (secret, secret[:16], secret[16:32], secret[32:]):
            assert not in_memory(process.pid, part)
        go_on(process)
        assert line_from(process.stdout) == "open"
        [mapping] = in_memory(process.pid, secret)
        assert is_locked(process.pid, mapping)
        go_on(process)
        assert line_from(process.stdout) == "copied"
        [mapping] = in_memory(process.pid, secret)
        assert not is_locked(process.pid, mapping), "a copy by mistake is found"


def in_child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("backing", ["anonymous", "prefer-secret-memory"])
def test_a_forked_child_sees_nothing_and_is_told(backing: str) -> None:
    vault = Vault(16 * 1024, backing=backing)  # type: ignore[arg-type]
    store = strongroom.Store(vault)
    store.insert("a", b"hunter2")
    sealed = vault.seal(b"hunter2")
    opened, other = vault.open(sealed), vault.open(sealed)
    view = memoryview(opened)
    zeroed = vault.protections().fork_view == "zeroed"

    def child() -> None:
        calls: list[Callable[[], object]] = [
            lambda: vault.open(sealed, timeout=1),
            lambda: vault.try_open(sealed),
            lambda: vault.seal(b"x"),
            lambda: vault.random(8),
            lambda: vault.allocate(8),
            lambda: vault.open_all([sealed, sealed]),
            lambda: store.open("a"),
            lambda: store.insert("b", b"x"),
            opened.copy_to_bytes,
            opened.seal,
            opened.__enter__,
            lambda: opened.equals(b"hunter2"),
            lambda: memoryview(opened),
        ]
        for call in calls:
            with pytest.raises(strongroom.Forked, match="of its own"):
                call()
        # Where a child has such pages at all, they are zeros.
        assert not zeroed or view == bytes(7)
        assert vault.metrics().live == 0 and "a" not in store
        other.close()
        own = Vault(16 * 1024)
        with own.open(own.seal(b"child")) as mine:
            assert mine == b"child"

    assert in_child(child) == 0
    assert view == b"hunter2" and opened.equals(b"hunter2") and other.equals(b"hunter2")
    view.release()
    opened.close()


WIPES = """
import strongroom
vault = strongroom.Vault(16 * 1024)
store = strongroom.Store(vault)
store.insert("a", b"hunter2")
sealed = vault.seal(b"hunter2")
opened = vault.open(sealed)
with opened as view:
    strongroom.wipe_all()
    assert view == bytes(7)
for call in (lambda: vault.open(sealed), lambda: store.open("a"), lambda: vault.seal(b"x"),
             lambda: strongroom.Vault(8192)):
    try:
        call()
    except strongroom.Destroyed:
        pass
    else:
        raise SystemExit("not destroyed")
print("wiped", flush=True)
"""


RENEWED = """
import strongroom, sys
vault = strongroom.Vault(16 * 1024)
before = vault.seal(b"hunter2")
strongroom.renew_all()
after = vault.seal(b"hunter2")
# Numbers of eight bytes are counted from 0, and by a renewed vault from a random one.
assert before.to_record()[4:8] == bytes(4) != after.to_record()[4:8]
with vault.open(before) as view:
    assert view == b"hunter2"
try:
    strongroom.renew_when_cloned()
except strongroom.ClonesUnseen:
    assert sys.platform != "linux"
print("renewed", flush=True)
"""


def test_vaults_are_renewed_when_their_machine_was_cloned() -> None:
    with script(RENEWED) as process:
        assert line_from(process.stdout) == "renewed"
        assert process.wait(30) == 0


def test_everything_is_wiped_at_once() -> None:
    with script(WIPES) as process:
        assert line_from(process.stdout) == "wiped"
        assert process.wait(30) == 0


LIMITED = """
import strongroom
vault = strongroom.Vault(64 * 1024)
secrets = [vault.seal_and_wipe(bytearray(b"%064d" % n)) for n in range(100_000)]
for n in range(0, 100_000, 97):
    with vault.open(secrets[n]) as view:
        assert view == b"%064d" % n
try:
    strongroom.Vault(64 * 1024)
except strongroom.LimitError as error:
    print(error, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits by prlimit(1)")
def test_a_hundred_thousand_secrets_live_under_64_kib() -> None:
    wrapper = ["prlimit", "--memlock=65536:65536"]
    if os.geteuid() == 0:
        wrapper += ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-all"]
    try:
        done = subprocess.run(
            [*wrapper, sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=100
        )
    except FileNotFoundError as absent:
        pytest.skip(str(absent))
    assert done.returncode == 0, done.stderr
    assert "65,536" in done.stdout, done.stdout


def test_another_interpreter_of_the_process_is_refused() -> None:
    name = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    interpreters = pytest.importorskip(name)
    other = interpreters.create()
    try:
        code = "try:\n import strongroom\nexcept ImportError:\n pass\nelse:\n raise SystemError('imported')"
        interpreters.run_string(other, f"import sys; sys.path[:] = {sys.path!r}\n{code}")
    finally:
        interpreters.destroy(other)
