"""A vault whose memory is shut but while there is a view of a secret."""

import asyncio
import signal
import subprocess
import sys
import threading
from typing import Literal

import pytest
import strongroom
from strongroom import Vault

Kind = Literal["pages", "keys"]


def kinds() -> list[Kind]:
    try:
        Vault(windows="keys")
    except strongroom.WindowsRefused as error:
        assert "memory protection keys" in str(error)
        return ["pages"]
    return ["pages", "keys"]


def test_what_was_achieved_is_said() -> None:
    for kind in kinds():
        assert Vault(windows=kind).protections().windows == kind
    assert Vault().protections().windows == "none"
    assert Vault(windows="keys", policy="prefer").protections().windows in ("none", "keys")
    assert Vault(windows="keys-or-pages").protections().windows in ("pages", "keys")
    assert Vault(windows="keys-or-none").protections().windows in ("none", "keys")
    with pytest.raises(ValueError, match="windows"):
        Vault(windows="doors")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", kinds())
def test_a_vault_with_windows_does_what_another_does(kind: Kind) -> None:
    vault = Vault(16 * 1024, windows=kind)
    sealed = vault.seal(b"hunter2")
    with vault.open(sealed) as view:
        part = view[:4]
        assert bytes(view) == b"hunter2" and bytes(part) == b"hunt"
        part.release()
        assert bytes(view) == b"hunter2"
    with pytest.raises(ValueError):
        view.tobytes()
    with vault.open(sealed, writable=True) as view:
        view[0] = ord("H")
        assert bytes(view) == b"Hunter2"
    opened = vault.open(sealed)
    assert opened.equals(b"hunter2") and opened.copy_to_bytes() == b"hunter2"
    opened.seal(b"again")
    opened.close()
    with vault.open_all([sealed, sealed]) as (one, other):
        assert one == other
    store = strongroom.Store(vault)
    store.insert("a", b"hunter2")
    with store.open("a") as view, store.open("a") as again:
        assert view == again and bytes(view) == b"hunter2"

    async def in_a_task() -> bytes:
        async with vault.open_async(sealed) as view:
            await asyncio.sleep(0)
            return bytes(view)

    assert asyncio.run(in_a_task()) == b"hunter2"
    vault.verify()
    assert vault.held == 0


@pytest.mark.parametrize("kind", kinds())
def test_a_view_that_outlives_its_block_reads_zeros(kind: Kind) -> None:
    vault = Vault(16 * 1024, windows=kind)
    with pytest.raises(strongroom.ViewsRemain), vault.open(vault.seal(b"hunter2")) as view:
        part = view[:4]
    assert bytes(part) == bytes(4)
    part.release()
    assert vault.held == 0


def test_a_view_may_be_released_in_another_thread() -> None:
    vault = Vault(16 * 1024, windows="pages")
    views = [memoryview(vault.open(vault.seal(b"hunter2")))]
    thread = threading.Thread(target=lambda: views.pop().release())
    thread.start()
    thread.join()
    with vault.open(vault.seal(b"hunter2")) as view:
        assert bytes(view) == b"hunter2"


OUTSIDE = """
import ctypes, sys, threading
import strongroom

def address(view):
    return ctypes.addressof((ctypes.c_char * len(view)).from_buffer(view))

vault = strongroom.Vault(16 * 1024, windows=sys.argv[1])
sealed = vault.seal(b"hunter2")
opened = vault.open(sealed, writable=True)
where = sys.argv[2]
if where == "before":
    with vault.open(sealed, writable=True) as view:
        place = address(view)
elif where == "kept open":
    view = memoryview(opened)
    place = address(view)
    thread = threading.Thread(target=view.release)
    thread.start()
    thread.join()
else:
    with opened as view:
        place = address(view)
        assert ctypes.string_at(place, 7) == b"hunter2"
        if where == "two":
            # The end of one does not shut what another has open.
            with vault.open(sealed) as other:
                assert other == b"hunter2"
            assert ctypes.string_at(place, 7) == b"hunter2"
print("inside", flush=True)
ctypes.string_at(place, 7)
print("outside", flush=True)
"""


@pytest.mark.parametrize("where", ["before", "after", "two", "kept open"])
@pytest.mark.parametrize("kind", [*kinds(), "none"])
def test_memory_is_shut_but_in_the_block(kind: str, where: str) -> None:
    if kind == "keys" and where == "kept open":
        pytest.skip("by keys it stays open for the thread that has not ended it itself")
    ran = subprocess.run(
        [sys.executable, "-c", OUTSIDE, kind, where], capture_output=True, text=True, timeout=60
    )
    if kind == "none":
        assert (ran.returncode, ran.stdout) == (0, "inside\noutside\n"), ran.stderr
    else:
        assert (ran.returncode, ran.stdout) == (-signal.SIGSEGV, "inside\n"), ran.stderr
