"""Threads that wait for room."""

import os
import signal
import threading
import time

import pytest
import strongroom
from strongroom import Store, Vault
from support import fill, script, line_from


def test_one_who_waits_is_served_when_there_is_room(vault: Vault) -> None:
    sealed = vault.seal(bytes(1000))
    held = fill(vault, sealed)
    served = threading.Event()

    def wait() -> None:
        with vault.open(sealed, timeout=60):
            served.set()

    thread = threading.Thread(target=wait)
    thread.start()
    while vault.waiters == 0:
        time.sleep(0.001)
    # Other threads run meanwhile: this one does.
    assert not served.wait(0.15)
    held.pop().close()
    assert served.wait(30)
    thread.join()
    assert vault.metrics().waits == 1 and vault.metrics().longest_wait > 0.1


def test_those_who_wait_are_served_in_their_order(vault: Vault) -> None:
    sealed = vault.seal(bytes(1000))
    held = fill(vault, sealed)
    order: list[int] = []

    def wait(number: int) -> None:
        with vault.open(sealed):
            order.append(number)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(20)]
    for number, thread in enumerate(threads):
        thread.start()
        while vault.waiters <= number:
            time.sleep(0.001)
    # They look for signals all the time, and keep their places.
    time.sleep(0.3)
    held.pop().close()
    for thread in threads:
        thread.join()
    assert order == list(range(20))


def test_many_threads_share_a_few_cells(vault: Vault) -> None:
    secrets = [vault.seal(bytes([number]) * 3000) for number in range(8)]

    def use(number: int) -> None:
        for turn in range(200):
            which = (number + turn) % 8
            with vault.open(secrets[which], timeout=60) as view:
                wrong.extend([view.tobytes()] if view != bytes([which]) * 3000 else [])

    wrong: list[bytes] = []
    threads = [threading.Thread(target=use, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and vault.held == 0 and vault.metrics().refusals == 0
    vault.verify()


def test_a_store_s_secret_is_waited_for_too(vault: Vault) -> None:
    store = Store(vault)
    store.insert("a", bytes(1000))
    held = fill(vault, vault.seal(bytes(1000)))
    for alone in (False, True):
        with pytest.raises(strongroom.Full):
            store.try_open("a", alone=alone)
        with pytest.raises(strongroom.Timeout, match="gave up after"):
            store.open("a", timeout=0.02, alone=alone)
    threading.Timer(0.1, held.pop().close).start()
    with store.open("a", timeout=60) as view:
        assert len(view) == 1000


WAITS = """
import strongroom, sys
vault = strongroom.Vault(16 * 1024)
store = strongroom.Store(vault)
store.insert("a", bytes(1000))
sealed = vault.seal(bytes(1000))
held = []
try:
    while True:
        held.append(vault.try_open(sealed))
except strongroom.Full:
    pass
wait = {
    "open": lambda: vault.open(sealed, timeout=60),
    "open_all": lambda: vault.open_all([sealed, sealed]),
    "allocate": lambda: vault.allocate(1000),
    "store": lambda: store.open("a"),
    "read_fd": lambda: vault.read_fd(0),
}[sys.argv[1]]
print("waits", flush=True)
try:
    wait()
except KeyboardInterrupt:
    print("interrupted", vault.waiters, flush=True)
held.pop().close()
vault.open(sealed, timeout=0).close()
print("goes on", flush=True)
"""


@pytest.mark.parametrize("how", ["open", "open_all", "allocate", "store", "read_fd"])
def test_ctrl_c_ends_a_wait(how: str) -> None:
    with script(WAITS, how) as process:
        assert line_from(process.stdout) == "waits"
        time.sleep(0.3)
        began = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        assert line_from(process.stdout) == "interrupted 0"
        assert time.monotonic() - began < 1
        assert line_from(process.stdout) == "goes on"
