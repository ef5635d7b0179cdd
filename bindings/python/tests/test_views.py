"""What is left of a view when its block has ended: nothing, and never somebody else's secret."""

# A memoryview equals bytes, whatever the types say.
# mypy: disable-error-code="comparison-overlap"

import ctypes
import gc
from collections.abc import Callable

import pytest
import strongroom
from strongroom import Store, Vault
from support import fill


def test_a_view_is_dead_after_its_block(vault: Vault) -> None:
    with vault.open(vault.seal(b"hunter2")) as view:
        pass
    for use in (view.tobytes, lambda: view[0], lambda: len(view), lambda: view == view[:]):
        with pytest.raises(ValueError, match="released"):
            use()
    assert vault.held == 0


def test_a_closed_secret_gives_no_view(vault: Vault) -> None:
    opened = vault.open(vault.seal(b"hunter2"))
    with opened:
        pass
    assert opened.closed and "closed" in repr(opened) and len(opened) == 7
    for use in (opened.__enter__, opened.copy_to_bytes, opened.seal, lambda: memoryview(opened)):
        with pytest.raises(strongroom.Closed, match="open it again"):
            use()
    opened.close()


SLICES: list[Callable[[memoryview], object]] = [
    lambda view: view[1:3],
    memoryview,
    lambda view: memoryview(view)[1:].toreadonly(),
    lambda view: view.cast("b"),
    lambda view: (ctypes.c_char * 7).from_buffer(view),
]


@pytest.mark.parametrize("further", SLICES)
def test_what_is_made_of_a_view_is_told_and_reads_zeros(
    vault: Vault, further: Callable[[memoryview], object]
) -> None:
    sealed, other = vault.seal(b"hunter2"), vault.seal(b"another")
    with pytest.raises(strongroom.ViewsRemain, match="read as zeros") as error:
        with vault.open(sealed, writable=True) as view:
            left = further(view)
    assert isinstance(error.value, BufferError)
    # It keeps its place: nobody else's secret comes there.
    assert vault.held == 1
    others = fill(vault, other)
    assert set(bytes(left)) == {0}  # type: ignore[call-overload]
    del others
    # What pytest keeps of the frames holds nothing of it.
    del left, view, error
    gc.collect()
    assert vault.held == 0
    vault.verify()


def test_room_comes_back_with_the_last_view(vault: Vault) -> None:
    opened = vault.open(vault.seal(b"hunter2"))
    first, second = memoryview(opened), memoryview(opened)
    with pytest.raises(strongroom.ViewsRemain):
        opened.close()
    first.release()
    assert vault.held == 1 and second == bytes(7)
    second.release()
    assert vault.held == 0
    opened.close()


def test_an_exception_on_its_way_is_not_hidden(vault: Vault) -> None:
    with pytest.raises(KeyError) as error:
        with vault.open(vault.seal(b"hunter2")) as view:
            left = view[1:]
            raise KeyError("the program's own")
    assert "outlive" in error.value.__notes__[0]
    assert left == bytes(6)
    with pytest.raises(KeyError) as error:
        with vault.open(vault.seal(b"hunter2")):
            raise KeyError("the program's own")
    assert not hasattr(error.value, "__notes__")


def test_views_of_a_store_s_secret_keep_it_theirs(vault: Vault) -> None:
    store = Store(vault)
    store.insert("a", b"hunter2")
    with pytest.raises(strongroom.ViewsRemain, match="alone"):
        with store.open("a") as view:
            left = view[:]
    others = fill(vault, vault.seal(b"another"))
    # Others may read the same memory, so it is what it was.
    assert left == b"hunter2" and store.metrics().open == 1
    left.release()
    assert store.metrics().open == 0
    del others


def test_a_secret_has_one_block_at_a_time(vault: Vault) -> None:
    opened = vault.open(vault.seal(b"hunter2"))
    with opened as view:
        with pytest.raises(strongroom.Error, match="already"):
            opened.__enter__()
        assert view == b"hunter2"
    assert vault.held == 0


def test_a_secret_that_is_forgotten_is_closed(vault: Vault) -> None:
    vault.open(vault.seal(b"hunter2"))
    assert vault.held == 0
    opened = vault.open(vault.seal(b"hunter2"))
    view = opened.__enter__()
    del opened
    assert vault.held == 1 and view == b"hunter2"
    del view
    assert vault.held == 0


def test_a_view_may_be_released_in_its_block(vault: Vault) -> None:
    with vault.open(vault.seal(b"hunter2")) as view:
        view.release()
    with vault.open(vault.seal(b"hunter2")):
        pass
    assert vault.held == 0


def test_what_is_read_only_is_not_written(vault: Vault) -> None:
    with vault.open(vault.seal(b"hunter2")) as view:
        with pytest.raises(TypeError):
            view[0] = 1
        with pytest.raises((BufferError, TypeError)):
            ctypes.c_char.from_buffer(view)
        with pytest.raises(TypeError, match="overwritten"):
            strongroom.wipe(view)
    assert vault.held == 0


def test_damage_is_told(vault: Vault) -> None:
    # What native code with a wrong length would do.
    opened = vault.open(vault.seal(b"hunter2"), writable=True)
    with pytest.raises(strongroom.Damaged, match="wrote"):
        with opened as view:
            address = ctypes.addressof(ctypes.c_char.from_buffer(view))
            ctypes.memset(address + 7, 0x55, 4)
    assert vault.metrics().faults == 1
    opened = vault.open(vault.seal(b"hunter2"), writable=True)
    with pytest.raises(strongroom.Damaged, match="wrote"):
        with opened as view:
            ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(view)) - 4, 0x55, 4)
    assert vault.metrics().faults == 2 and vault.held == 0


def test_damage_that_nobody_could_be_told_of_is_a_warning(vault: Vault) -> None:
    opened = vault.open(vault.seal(b"hunter2"), writable=True)
    view = memoryview(opened)
    address = ctypes.addressof(ctypes.c_char.from_buffer(view))
    ctypes.memset(address + 7, 0x55, 4)
    del view, opened
    with pytest.warns(RuntimeWarning, match="damage"):
        vault.open(vault.seal(b"hunter2"))
