"""What several tests need."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from strongroom import Full, Opened, Sealed, Vault


def fill(vault: Vault, sealed: Sealed) -> list[Opened]:
    """Opens a secret until there is no room for it any more."""
    held = []
    try:
        while True:
            held.append(vault.try_open(sealed))
    except Full:
        return held


def pattern(seed: int, length: int = 48) -> bytearray:
    """Bytes that stand in no program: made one by one in their place, so that there is no copy of them."""
    made = bytearray(length)
    for at in range(length):
        made[at] = (at * at * 7 + at * 13 + seed) & 0xFF
    return made


def in_memory(pid: int, bytes_sought: bytes | bytearray) -> list[str]:
    """The mappings of a process in which some bytes are found, once for each time."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            addresses, rights = line.split()[:2]
            if not rights.startswith("r") or "[v" in line:
                continue
            start, end = (int(address, 16) for address in addresses.split("-"))
            memory.seek(start)
            part = memory.read(end - start)
            found += [line.strip()] * part.count(bytes_sought)
    return found


def is_locked(pid: int, mapping: str) -> bool:
    """Whether a mapping is locked (`VmFlags` of smaps has `lo`)."""
    addresses = mapping.split()[0]
    with open(f"/proc/{pid}/smaps") as smaps:
        here = False
        for line in smaps:
            first = line.split()[0]
            if not first.endswith(":"):
                here = first == addresses
            elif here and first == "VmFlags:":
                return "lo" in line.split()
    return False


@contextmanager
def script(text: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a script in another interpreter, which talks by lines."""
    here = os.path.dirname(__file__)
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    process = subprocess.Popen(
        [sys.executable, "-c", text, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_from(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
