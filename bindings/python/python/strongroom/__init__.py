"""Many secrets in a little locked memory, sealed while they rest.

    import strongroom

    vault = strongroom.Vault(64 * 1024)
    sealed = vault.seal_and_wipe(bytearray(b"hunter2"), b"db/password")
    with vault.open(sealed, b"db/password", timeout=1.0) as password:
        connect(password)  # a memoryview, which is dead after the block
"""

from ._errors import (
    BudgetError,
    ClonesUnseen,
    Closed,
    Damaged,
    Destroyed,
    Error,
    Exists,
    Forked,
    Full,
    KeyShareError,
    LimitError,
    NoEntropy,
    NotFound,
    OtherVersion,
    StoreFull,
    Tampered,
    Timeout,
    TooLarge,
    ViewsRemain,
    WindowsRefused,
)
from ._opening import AsyncOpening, AsyncOpeningAll, OpenedAll
from ._strongroom import (
    Limits,
    Metrics,
    Opened,
    Protections,
    Sealed,
    Store,
    StoreMetrics,
    Vault,
    limits,
    raise_soft_limit,
    renew_all,
    renew_when_cloned,
    wipe,
    wipe_all,
)
from ._terminal import getpass

__all__ = [
    "AsyncOpening",
    "AsyncOpeningAll",
    "BudgetError",
    "ClonesUnseen",
    "Closed",
    "Damaged",
    "Destroyed",
    "Error",
    "Exists",
    "Forked",
    "Full",
    "KeyShareError",
    "LimitError",
    "Limits",
    "Metrics",
    "NoEntropy",
    "NotFound",
    "Opened",
    "OpenedAll",
    "OtherVersion",
    "Protections",
    "Sealed",
    "Store",
    "StoreFull",
    "StoreMetrics",
    "Tampered",
    "Timeout",
    "TooLarge",
    "Vault",
    "ViewsRemain",
    "WindowsRefused",
    "getpass",
    "limits",
    "raise_soft_limit",
    "renew_all",
    "renew_when_cloned",
    "wipe",
    "wipe_all",
]
