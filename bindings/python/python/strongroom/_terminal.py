"""Asking a person for a secret at the terminal, getpass(3), without making a `str` of it."""

import os
import termios

from ._errors import Error
from ._strongroom import Sealed, Vault


def getpass(
    vault: Vault, prompt: str = "Password: ", context: bytes = b"", *, limit: int = 1024
) -> Sealed:
    """Shows `prompt` on the controlling terminal and seals the line that is typed, which is not shown.

    The line's end is not part of it. It is read straight into locked memory: no `str` and no `bytes` of it
    is ever made. Raises `EOFError` if the person ends the input without a line.
    """
    return vault.read_password(prompt, context, limit=limit)


def read_password(vault: Vault, prompt: str, context: bytes, limit: int) -> Sealed:
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise Error(
            f"there is no terminal to ask at ({error}): give the secret in a file or a pipe "
            "(Vault.read_file, Vault.read_fd)"
        ) from error
    try:
        before = termios.tcgetattr(terminal)
        silent = before.copy()
        silent[3] &= ~(termios.ECHO | termios.ECHOE | termios.ECHOK | termios.ECHONL)
        # What was typed ahead was shown, and is dropped.
        termios.tcsetattr(terminal, termios.TCSAFLUSH, silent)
        try:
            _write(terminal, prompt.encode())
            line = vault.read_line(terminal, context, limit=limit)
        finally:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
            # The person's own line end was not shown.
            _write(terminal, b"\n")
    finally:
        os.close(terminal)
    if line is None:
        raise EOFError("nothing was typed: the input ended without a line")
    return line


def _write(terminal: int, text: bytes) -> None:
    while text:
        text = text[os.write(terminal, text) :]
