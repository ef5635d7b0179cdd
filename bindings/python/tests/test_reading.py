"""Secrets that are read from elsewhere."""

import os
import pty
import threading
from pathlib import Path

import pytest
import strongroom
from strongroom import Sealed, Vault
from support import fill, go_on, in_memory, line_from, pattern, script


def plain(vault: Vault, sealed: Sealed, context: bytes = b"") -> bytes:
    with vault.open(sealed, context) as view:
        return view.tobytes()


def test_a_file_is_sealed(vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"hunter2\n")
    assert plain(vault, vault.read_file(path, b"db"), b"db") == b"hunter2\n"
    assert plain(vault, vault.read_file(str(path), text=True, limit=7)) == b"hunter2"
    assert plain(vault, vault.read_file(os.fsencode(path), limit=8)) == b"hunter2\n"
    with pytest.raises(strongroom.TooLarge, match="limit of 6 bytes"):
        vault.read_file(path, text=True, limit=6)
    with pytest.raises(strongroom.TooLarge, match="limit of 7 bytes"):
        vault.read_file(path, limit=7)
    with pytest.raises(FileNotFoundError):
        vault.read_file(tmp_path / "absent")
    path.write_bytes(b"x" * 5000)
    assert plain(vault, vault.read_file(path)) == b"x" * 5000
    assert vault.held == 0


def test_a_descriptor_is_sealed_and_stays_open(vault: Vault) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"hunter2\r\n")
    os.close(writer)
    assert plain(vault, vault.read_fd(reader, text=True)) == b"hunter2"
    assert plain(vault, vault.read_fd(reader)) == b""
    os.close(reader)
    with pytest.raises(OSError):
        vault.read_fd(reader)
    with pytest.raises(ValueError, match="no file descriptor"):
        vault.read_fd(-1)


def test_what_is_read_waits_for_room_and_is_not_lost(vault: Vault) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"hunter2")
    os.close(writer)
    held = fill(vault, vault.seal(b"x" * 512))
    with pytest.raises(strongroom.Timeout):
        vault.read_fd(reader, timeout=0.01)
    threading.Timer(0.2, held.clear).start()
    assert plain(vault, vault.read_fd(reader, timeout=60)) == b"hunter2"
    os.close(reader)


def test_a_variable_is_sealed(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_TEST", "hunter2")
    assert plain(vault, vault.read_env("STRONGROOM_TEST", b"c"), b"c") == b"hunter2"
    with pytest.raises(strongroom.TooLarge):
        vault.read_env("STRONGROOM_TEST", limit=3)
    for absent in ("STRONGROOM_ABSENT", "A=B", "a\0b", ""):
        with pytest.raises(strongroom.NotFound, match="not set"):
            vault.read_env(absent)


ASKS = """
import gc, strongroom, sys
vault = strongroom.Vault(64 * 1024)
sealed = strongroom.getpass(vault, "Password: ", b"login", limit=64)
with vault.open(sealed, b"login") as view:
    total = sum(view)
gc.collect()
marker = bytearray(b"marker-" + str(len(sealed)).encode() * 3)
print("read", len(sealed), total, flush=True)
sys.stdin.readline()
"""


def in_terminal(text: str) -> tuple[int, int]:
    """Starts an interpreter with a terminal of its own; its process and the person's end."""
    child, person = pty.fork()
    if child == 0:
        try:
            import sys

            os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
            os.execv(sys.executable, [sys.executable, "-c", text])
        finally:
            os._exit(127)
    return child, person


def shown(person: int, until: bytes) -> bytes:
    text = b""
    while until not in text:
        text += os.read(person, 1024)
    return text


def test_a_password_is_typed_and_is_nowhere_but_in_the_record() -> None:
    typed = bytes(33 + byte % 90 for byte in pattern(77, 40))
    child, person = in_terminal(ASKS)
    try:
        assert shown(person, b"Password: ").endswith(b"Password: ")
        os.write(person, typed + b"\n")
        said = shown(person, b"read")
        assert typed not in said, "what is typed is not shown"
        while not said.endswith(b"\n"):
            said += os.read(person, 1024)
        assert said.split()[-2:] == [b"40", str(sum(typed)).encode()]
        assert in_memory(child, b"marker-404040"), "the scan finds what is there"
        assert not in_memory(child, typed)
        # A str of it would have been found, whether of one byte a character or more.
        assert not in_memory(child, typed[4:20])
    finally:
        os.close(person)
        os.waitpid(child, 0)


def test_a_str_of_a_password_is_found() -> None:
    typed = bytes(33 + byte % 90 for byte in pattern(99, 40))
    child, person = in_terminal(ASKS.replace("gc.collect()", "kept = vault.open(sealed, b'login').copy_to_bytes()"))
    try:
        shown(person, b"Password: ")
        os.write(person, typed + b"\n")
        shown(person, b"read")
        assert in_memory(child, typed)
    finally:
        os.close(person)
        os.waitpid(child, 0)


INTERRUPTED = """
import os, strongroom, termios
vault = strongroom.Vault(64 * 1024)
try:
    strongroom.getpass(vault, "Password: ")
except (KeyboardInterrupt, EOFError) as error:
    echo = termios.tcgetattr(0)[3] & termios.ECHO
    print("ended by", type(error).__name__, "echo" if echo else "silent", flush=True)
"""


@pytest.mark.parametrize(("key", "error"), [(b"\x03", b"KeyboardInterrupt"), (b"\x04", b"EOFError")])
def test_ctrl_c_and_ctrl_d_end_the_question(key: bytes, error: bytes) -> None:
    child, person = in_terminal(INTERRUPTED)
    try:
        shown(person, b"Password: ")
        os.write(person, key)
        assert b"ended by " + error + b" echo" in shown(person, b"echo").replace(b"\r", b"")
    finally:
        os.close(person)
        os.waitpid(child, 0)


NO_TERMINAL = """
import os, strongroom
os.setsid()
try:
    strongroom.getpass(strongroom.Vault(8192))
except strongroom.Error as error:
    print(error, flush=True)
"""


def test_without_a_terminal_it_says_what_to_do() -> None:
    with script(NO_TERMINAL) as process:
        assert "in a file or a pipe" in line_from(process.stdout)
        go_on(process)
