"""What is waited for in a task, and several secrets together."""

import asyncio
import contextlib
import itertools
import os
import weakref
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Any

from . import _strongroom


class OpenedAll:
    """Several secrets that were opened together, in the order in which they were asked for.

    `with opened as (first, second):` gives a memoryview of each, which are dead after the block.
    """

    def __init__(self, opened: tuple[_strongroom.Opened, ...]) -> None:
        self._opened = opened
        self._exits: contextlib.ExitStack | None = None

    def __enter__(self) -> tuple[memoryview, ...]:
        with contextlib.ExitStack() as exits:
            views = tuple(exits.enter_context(opened) for opened in self._opened)
            self._exits = exits.pop_all()
        return views

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        raised: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        exits, self._exits = self._exits, None
        if exits is not None:
            exits.__exit__(kind, raised, traceback)

    def close(self) -> None:
        """Wipes all of them, as the end of a `with` block does."""
        with contextlib.ExitStack() as exits:
            for opened in self._opened:
                exits.callback(opened.close)

    def __len__(self) -> int:
        return len(self._opened)

    def __iter__(self) -> Iterator[_strongroom.Opened]:
        return iter(self._opened)

    def __getitem__(self, index: int) -> _strongroom.Opened:
        return self._opened[index]


class AsyncOpening:
    """A secret that will be open: `async with` gives a memoryview of it, `await` the `Opened`.

    It takes its place in line when it is awaited. A task that is cancelled gives it up.
    """

    def __init__(self, pending: _strongroom.Pending) -> None:
        self._pending = pending
        self._opened: _strongroom.Opened | None = None

    def __await__(self) -> Generator[Any, None, _strongroom.Opened]:
        return self._wait().__await__()

    async def _wait(self) -> _strongroom.Opened:
        [opened] = await _wait(self._pending)
        return opened

    async def __aenter__(self) -> memoryview:
        self._opened = await self._wait()
        return self._opened.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.__exit__(kind, raised, traceback)


class AsyncOpeningAll:
    """Several secrets that will be open together: `async with` gives their memoryviews, `await` an `OpenedAll`."""

    def __init__(self, pending: _strongroom.Pending) -> None:
        self._pending = pending
        self._opened: OpenedAll | None = None

    def __await__(self) -> Generator[Any, None, OpenedAll]:
        return self._wait().__await__()

    async def _wait(self) -> OpenedAll:
        return OpenedAll(tuple(await _wait(self._pending)))

    async def __aenter__(self) -> tuple[memoryview, ...]:
        self._opened = await self._wait()
        return self._opened.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.__exit__(kind, raised, traceback)


async def _wait(pending: _strongroom.Pending) -> list[_strongroom.Opened]:
    bell = _bell_of(asyncio.get_running_loop())
    number = next(bell.numbers)
    try:
        while (opened := pending.poll(bell.bell, number)) is None:
            await bell.rings_for(number)
        return opened
    finally:
        pending.cancel()


class _LoopBell:
    """Wakes the tasks of one event loop. The loop holds it as long as it is open."""

    def __init__(self) -> None:
        self.bell = _strongroom.Bell()
        self.numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        os.set_blocking(self.bell.fileno(), False)

    async def rings_for(self, number: int) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await future
        finally:
            self._waiting.pop(number, None)

    def ring(self) -> None:
        for number in self.bell.drain():
            future = self._waiting.get(number)
            if future is not None and not future.done():
                future.set_result(None)


_bells: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopBell]" = weakref.WeakKeyDictionary()


def _bell_of(loop: asyncio.AbstractEventLoop) -> _LoopBell:
    bell = _bells.get(loop)
    if bell is None:
        bell = _bells[loop] = _LoopBell()
        loop.add_reader(bell.bell.fileno(), bell.ring)
    return bell
