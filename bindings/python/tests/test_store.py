"""Names to secrets."""

# A memoryview equals bytes, whatever the types say.
# mypy: disable-error-code="comparison-overlap"

import time

import pytest
import strongroom
from strongroom import Store, Vault


@pytest.fixture
def store(vault: Vault) -> Store:
    return Store(vault)


def read(store: Store, name: str | bytes) -> bytes:
    with store.open(name, timeout=0) as view:
        return view.tobytes()


def test_names_are_put_in_replaced_and_removed(store: Store) -> None:
    assert store.insert("a", b"one") == 1
    with pytest.raises(strongroom.Exists, match="version 1") as exists:
        store.insert("a", b"two")
    assert exists.value.version == 1 and read(store, "a") == b"one"
    assert store.replace("a", b"two") == 2 and read(store, "a") == b"two"
    assert store.replace("a", b"three", version=2) == 3
    with pytest.raises(strongroom.OtherVersion) as other:
        store.replace("a", b"four", version=2)
    assert other.value.version == 3 and store.version("a") == 3
    assert store.put("a", b"five") == 4 and store.put("b", b"six") == 1
    assert store.remove("a") and not store.remove("a")
    assert store.version("a") is None
    for call in (lambda: store.open("a"), lambda: store.replace("a", b"x"), lambda: store.try_open("a")):
        with pytest.raises(LookupError, match="no secret of that name"):
            call()
    with pytest.raises(ValueError, match="not both"):
        store.replace("b", b"x", version=1, expires=1.0)


def test_str_and_bytes_are_different_names(store: Store) -> None:
    store.insert("a", b"text")
    store.insert(b"a", b"bytes")
    store.insert("", b"empty")
    store.insert("ключ\0", b"unicode")
    assert read(store, "a") == b"text" and read(store, b"a") == b"bytes"
    assert set(store) == set(store.names()) == {"a", b"a", "", "ключ\0"} and len(store) == 4
    assert "a" in store and b"b" not in store and "ключ\0" in store
    for wrong in (1, None, bytearray(b"a")):
        with pytest.raises(TypeError, match="str or bytes"):
            store.insert(wrong, b"x")  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        store.insert("\ud800", b"x")


def test_readers_of_a_name_share_one_cell(store: Store) -> None:
    store.insert("a", b"hunter2")
    with store.open("a") as one, store.open("a") as two:
        assert one == two == b"hunter2" and store.metrics().open == 1
        assert store.metrics().decryptions == 1
    with store.open("a", alone=True, writable=True) as view:
        view[0] = 0
    assert read(store, "a") == b"hunter2"
    with pytest.raises(strongroom.Error, match="alone"):
        store.open("a", writable=True)


def test_who_reads_keeps_the_version_that_was_opened(store: Store) -> None:
    store.insert("a", b"old")
    opened = store.open("a")
    store.replace("a", b"new")
    assert opened.version == 1 and opened.equals(b"old") and read(store, "a") == b"new"
    with store.vault.open(opened.seal(b"elsewhere"), b"elsewhere") as view:
        assert view == b"old"
    # What is open outlives the store.
    vault = store.vault
    del store
    assert opened.equals(b"old")
    opened.close()
    assert vault.held == 0


def test_secrets_expire(store: Store) -> None:
    store.insert("a", b"x", expires=0.05)
    store.put("b", b"x", expires=0.05)
    store.insert("c", b"x")
    store.replace("c", b"y", expires=100.0)
    assert read(store, "a") == b"x"
    time.sleep(0.1)
    assert "a" not in store and store.remove_expired() == 1 and store.names() == ["c"]
    with pytest.raises(ValueError, match="expires"):
        store.insert("d", b"x", expires=-1.0)


def test_secrets_linger(vault: Vault) -> None:
    store = Store(vault, lingering=30.0)
    store.insert("a", b"x")
    for _ in range(10):
        read(store, "a")
    metrics = store.metrics()
    assert metrics.decryptions == 1 and metrics.lingering == 1


def test_a_store_has_an_end(vault: Vault) -> None:
    store = Store(vault, most=1)
    token = bytearray(b"hunter2")
    store.insert("a", token, wipe=True)
    assert token == bytes(7)
    with pytest.raises(strongroom.StoreFull, match="remove some") as full:
        store.insert("b", b"x")
    assert full.value.most == 1 and "1 secrets" in repr(store)
    assert bool(Store(vault)) and len(Store(vault)) == 0
