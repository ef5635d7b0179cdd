"""What can go wrong. Each exception's text says the cause, the numbers and the remedy."""


class Error(Exception):
    """Whatever strongroom raises is one of these, but wrong arguments and what the system says of files."""


class LimitError(Error):
    """The system does not let this process lock, hide or guard so much memory."""


class WindowsRefused(Error):
    """The vault cannot have the windows that were asked for."""


class ClonesUnseen(Error):
    """Nothing tells this process that its machine was cloned."""


class BudgetError(Error, ValueError):
    """No vault can be made under this budget."""


class Full(Error):
    """There is no room now, and the call does not wait."""

    requested: int
    """The bytes that were asked for."""
    held: int
    """Secrets that were open."""
    capacity: int
    """The bytes that open secrets can share."""
    waiters: int
    """Callers that were waiting."""


class Timeout(Error, TimeoutError):
    """There was no room in time."""

    requested: int
    """The bytes that were asked for."""
    held: int
    """Secrets that were open."""
    capacity: int
    """The bytes that open secrets can share."""
    waiters: int
    """Callers that were waiting."""


class TooLarge(Error, ValueError):
    """The secret is longer than the limit that was given, or no room would ever be enough for it."""


class Tampered(Error):
    """The record was changed, is another's, or belongs to another vault or context."""


class Destroyed(Error):
    """The vault's key was wiped."""


class Forked(Error):
    """This process was forked from the one that made the vault, and sees nothing of it."""


class NoEntropy(Error):
    """The operating system gives no random bytes."""


class KeyShareError(Error):
    """The share of the key in the kernel's keyring could not be stored or had."""


class NotFound(Error, LookupError):
    """The name stands for nothing."""


class Exists(Error):
    """The name stands for a secret already."""

    version: int
    """The version it has."""


class OtherVersion(Error):
    """The secret is not the version any more that was to be replaced."""

    version: int
    """The version it has."""


class StoreFull(Error):
    """The store holds as many secrets as it may."""

    most: int
    """How many those are."""


class Closed(Error, ValueError):
    """The secret is not open any more."""


class ViewsRemain(Error, BufferError):
    """Views of a secret outlive its `with` block."""


class Damaged(Error):
    """Something wrote past an end of a secret, or into memory that was free."""
