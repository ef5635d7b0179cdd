"""Sealing and opening."""

# A memoryview equals bytes, whatever the types say.
# mypy: disable-error-code="comparison-overlap"

import array
import copy
import math
import pickle

import pytest
import strongroom
from strongroom import Vault
from support import fill


def test_what_is_sealed_opens_under_its_context_alone(vault: Vault) -> None:
    sealed = vault.seal(b"hunter2", b"db/password")
    with vault.open(sealed, b"db/password") as view:
        assert view == b"hunter2" and view.readonly and view.format == "B"
    for context in (b"", b"db/passwore", bytearray(b"db")):
        with pytest.raises(strongroom.Tampered, match="context"):
            vault.open(sealed, context)
    with pytest.raises(strongroom.Tampered):
        Vault(16 * 1024).open(sealed, b"db/password")


@pytest.mark.parametrize("data", [b"", b"abc", bytearray(b"abc"), memoryview(b"xabc")[1:], b"x" * 5000])
def test_any_buffer_is_sealed(vault: Vault, data: bytes) -> None:
    sealed = vault.seal(data)
    assert len(sealed) == len(data)
    with vault.open(sealed) as view:
        assert view == data


def test_a_buffer_of_numbers_is_sealed_as_its_bytes(vault: Vault) -> None:
    numbers = array.array("I", [1, 2, 3])
    with vault.open(vault.seal(numbers)) as view:
        assert view.tobytes() == numbers.tobytes()
    with pytest.raises(BufferError, match="in a row"):
        vault.seal(memoryview(b"abcdef")[::2])


def test_a_str_is_refused_with_what_to_do_instead(vault: Vault) -> None:
    for call in (vault.seal, vault.seal_and_wipe):
        with pytest.raises(TypeError, match="bytearray"):
            call("hunter2")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="encode it"):
        vault.seal(b"x", "context")  # type: ignore[arg-type]
    with vault.open(vault.seal(b"x")), pytest.raises(TypeError, match="str"):
        vault.open(vault.seal(b"x")).equals("x")  # type: ignore[arg-type]


def test_sealing_wipes_where_it_is_asked_to(vault: Vault) -> None:
    token = bytearray(b"hunter2")
    sealed = vault.seal_and_wipe(token, b"api")
    assert token == bytes(7)
    with vault.open(sealed, b"api") as view:
        assert view == b"hunter2"
    with pytest.raises(TypeError, match="cannot be overwritten"):
        vault.seal_and_wipe(b"hunter2")
    part = bytearray(b"user:hunter2")
    with memoryview(part)[5:] as password:
        vault.seal_and_wipe(password)
    assert part == b"user:" + bytes(7)
    strongroom.wipe(part)
    assert part == bytes(12)
    with pytest.raises(TypeError):
        strongroom.wipe(b"hunter2")


def test_a_secret_that_could_not_be_sealed_is_not_wiped(vault: Vault) -> None:
    store = strongroom.Store(vault, most=0)
    token = bytearray(b"hunter2")
    with pytest.raises(strongroom.StoreFull):
        store.insert("a", token, wipe=True)
    assert token == b"hunter2"


def test_a_full_vault_says_so_with_numbers(vault: Vault) -> None:
    sealed = vault.seal(bytes(1000))
    held = fill(vault, sealed)
    with pytest.raises(strongroom.Full, match="larger budget") as full:
        vault.try_open(sealed)
    assert (full.value.requested, full.value.held) == (1000, len(held))
    assert full.value.capacity > 8000 and full.value.waiters == 0
    with pytest.raises(strongroom.Timeout, match="gave up after 0.05") as late:
        vault.open(sealed, timeout=0.05)
    assert late.value.held == len(held) and isinstance(late.value, TimeoutError)
    held.pop().close()
    vault.open(sealed, timeout=0).close()


@pytest.mark.parametrize("timeout", [-1.0, math.nan, -math.inf])
def test_a_time_that_is_none_is_refused(vault: Vault, timeout: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        vault.open(vault.seal(b"x"), timeout=timeout)


def test_endless_times_are_times(vault: Vault) -> None:
    vault.open(vault.seal(b"x"), timeout=math.inf).close()
    vault.open(vault.seal(b"x"), timeout=1e300).close()
    Vault(8192, linger=math.inf)


def test_what_never_fits_is_said_at_once(vault: Vault) -> None:
    with pytest.raises(strongroom.TooLarge, match="at most") as error:
        vault.random(1 << 20)
    assert isinstance(error.value, ValueError)
    with pytest.raises(strongroom.TooLarge, match="together"):
        vault.open_all([vault.seal(bytes(9000))] * 2)
    with pytest.raises(OverflowError):
        vault.random(-1)
    with pytest.raises((OverflowError, strongroom.Error)):
        vault.random(1 << 63)


def test_several_are_open_together_or_none_is(vault: Vault) -> None:
    user, password = vault.seal(b"admin"), vault.seal(b"hunter2", b"db")
    with vault.open_all([user, (password, b"db")]) as (first, second):
        assert first == b"admin" and second == b"hunter2" and vault.held == 2
    assert vault.held == 0
    with pytest.raises(ValueError):
        first.tobytes()
    with pytest.raises(strongroom.Tampered):
        vault.open_all([user, password])
    assert vault.held == 0
    with vault.open_all([]) as none:
        assert none == ()
    many = [vault.seal(bytes([n % 256])) for n in range(300)]
    with vault.open_all(many) as views:
        assert [view[0] for view in views] == [n % 256 for n in range(300)]
    with pytest.raises(strongroom.TooLarge, match="3000 secrets"):
        vault.open_all(many * 10)
    opened = vault.try_open_all([user, user])
    assert len(opened) == 2 and opened[0].equals(b"admin") and vault.held == 2
    opened.close()
    assert vault.held == 0
    held = fill(vault, vault.seal(bytes(1000)))
    with pytest.raises(strongroom.Full):
        vault.try_open_all([vault.seal(bytes(1000))] * 2)
    with pytest.raises(strongroom.Timeout):
        vault.open_all([vault.seal(bytes(1000))] * 2, timeout=0.02)
    del held


def test_room_is_written_to_in_place_and_sealed(vault: Vault) -> None:
    memory = vault.allocate(7)
    with memory as view:
        assert view == bytes(7) and not view.readonly
        view[:] = b"hunter2"
        sealed = memory.seal(b"db")
    with vault.open(sealed, b"db", writable=True) as view:
        view[0] = ord("H")
        assert view == b"Hunter2"
    with vault.open(sealed, b"db") as view:
        assert view == b"hunter2"


def test_random_bytes_are_never_the_same(vault: Vault) -> None:
    with vault.open(vault.random(32, b"key"), b"key") as one, vault.open(vault.random(32)) as two:
        assert len(one) == 32 and one != two and one != bytes(32)
    with vault.open(vault.random(0)) as none:
        assert len(none) == 0


def test_comparing_tells_equal_from_different(vault: Vault) -> None:
    opened = vault.open(vault.seal(b"hunter2"))
    assert opened.equals(b"hunter2") and opened.equals(bytearray(b"hunter2")) and opened.equals(opened)
    assert not opened.equals(b"hunter3") and not opened.equals(b"hunter") and not opened.equals(b"")
    opened.close()
    with pytest.raises(strongroom.Closed):
        opened.equals(b"hunter2")


def test_nothing_is_copied_or_shown_unless_by_name(vault: Vault) -> None:
    sealed = vault.seal(b"hunter2")
    opened = vault.open(sealed)
    assert opened.copy_to_bytes() == b"hunter2"
    for shown in (repr(sealed), str(sealed), repr(opened), repr(vault), f"{opened}"):
        assert "hunter2" not in shown
    for secret in (sealed, opened):
        with pytest.raises(TypeError):
            bytes(secret)  # type: ignore[arg-type]
        for refused in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                refused(secret)
        assert secret != (vault.seal(b"hunter2") if secret is sealed else vault.open(sealed))
    with pytest.raises(TypeError, match="only the vault that sealed it"):
        pickle.dumps(sealed)


def test_a_record_is_given_by_name_and_taken_back(vault: Vault) -> None:
    sealed = vault.seal(b"hunter2")
    record = sealed.to_record()
    assert len(record) == len(sealed) + 24 and b"hunter2" not in record
    assert vault.open(strongroom.Sealed.from_record(record)).equals(b"hunter2")
    for wrong in (b"", record[:-1], record[:-1] + bytes([record[-1] ^ 1]), bytes(10_000)):
        with pytest.raises((strongroom.Tampered, strongroom.TooLarge)):
            vault.open(strongroom.Sealed.from_record(wrong))


def test_a_reserve_has_room_when_the_others_have_not() -> None:
    vault = Vault(16 * 1024, reserves={"signer": 8192})
    sealed = vault.seal(bytes(1000))
    held = fill(vault, sealed)
    with vault.reserve("signer").open(sealed, timeout=0) as view:
        assert len(view) == 1000
    with pytest.raises(LookupError, match="no reserve"):
        vault.reserve("other")
    del held


def test_a_vault_grows_and_gives_back() -> None:
    vault = Vault(64 * 1024, 8192)
    assert vault.metrics().locked == 8192 and vault.budget == 65536
    held = fill(vault, vault.seal(bytes(1000)))
    assert len(held) > 40 and vault.metrics().grown > 0
    del held
    vault.trim()
    vault.verify()
    vault.refresh()
    vault.renew()
    metrics = vault.metrics()
    assert metrics.locked == 8192 and metrics.live == 0 and metrics.peak > 40
    assert metrics.faults == 0 and metrics.unlocked in (0, None)
    assert "Vault" in repr(vault) and "open" in repr(metrics)


def test_a_vault_that_cannot_be_made_says_why() -> None:
    with pytest.raises(strongroom.BudgetError, match="raise the ceiling"):
        Vault(100, 200)
    with pytest.raises(strongroom.BudgetError):
        Vault(0)
    with pytest.raises(strongroom.LimitError):
        Vault(1 << 50)
    for arguments in ({"policy": "x"}, {"backing": "x"}, {"key_share": "x"}, {"linger": -1.0}):
        with pytest.raises(ValueError):
            Vault(8192, **arguments)


def test_protections_and_limits_are_told(vault: Vault) -> None:
    protections = vault.protections()
    assert protections.locked and protections.guarded and vault.lock_refusal is None
    assert protections.fork_view in ("zeroed", "absent") and "guarded" in repr(protections)
    limits = strongroom.limits()
    assert limits.page_size >= 4096 and "lock limit" in str(limits)
    assert limits.soft is None or limits.soft >= 16 * 1024
    assert limits.remedy(1) is None
    fits = limits.fits(64)
    assert fits is None or fits > 1
    assert vault.growth_refusal is None and vault.key_share_refusal is None


def test_secret_memory_and_keyrings_are_asked_for() -> None:
    vault = Vault(8192, backing="prefer-secret-memory", key_share="prefer-process-keyring")
    with vault.open(vault.seal(b"hunter2")) as view:
        assert view == b"hunter2"
    assert vault.key_share_refusal is None or "key" in vault.key_share_refusal


def test_a_destroyed_vault_opens_nothing(vault: Vault) -> None:
    sealed = vault.seal(b"hunter2")
    opened = vault.open(sealed)
    vault.destroy()
    with pytest.raises(strongroom.Destroyed):
        vault.open(sealed)
    with pytest.raises(strongroom.Destroyed):
        vault.seal(b"x")
    assert opened.equals(b"hunter2")


def test_every_exception_is_an_error() -> None:
    for name in strongroom.__all__:
        what = getattr(strongroom, name)
        if isinstance(what, type) and issubclass(what, Exception):
            assert issubclass(what, strongroom.Error) and what.__doc__
