"""One exception tree. A message is safe to show; what really happened is chained behind it."""

from __future__ import annotations

from django.utils.functional import Promise


class FinetuneSwitchError(Exception):
    """Base of everything this package raises on purpose. Do not raise it directly."""


class BackendError(FinetuneSwitchError):
    """A backend did not answer. The message is a sentence that is safe to show to anybody.

    ``code`` names the kind of failure for programs (``"refused"``, ``"unauthorized"``, …);
    ``remedy`` says what the site's team can do about it, and is for the admin and the shell only.
    """

    retryable = False
    """Whether the same question may be sent again, as long as no text has come."""
    retry_after: float | None = None
    """Seconds that the server asked us to wait before that."""

    def __init__(self, message: str | Promise, *, code: str = "failed", remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy


class ConnectionNotConfigured(BackendError):
    """The settings no longer declare what a backend needs: its connection, alias or address."""


class EmbeddingError(BackendError):
    """Texts could not be turned into vectors, or the returned vectors are unusable."""

    @property
    def is_meaningless_text(self) -> bool:
        """Whether the text itself has no vector, such as a row of signs: nothing is like it."""
        return self.code in ("zero_vector", "empty_text")


class DeadlineExceeded(BackendError):
    """A deadline of ours passed: first token, idle time or total."""


class SwitchConflict(FinetuneSwitchError):
    """The switch was turned by somebody else since the page was opened. Safe to show."""


class IndexBusy(FinetuneSwitchError):
    """The index is being built by somebody else. Safe to show."""


class InvalidQuestion(FinetuneSwitchError):
    """There is nothing to ask, or too much of it. Safe to show."""


class Refused(FinetuneSwitchError):
    """A visitor's question is not taken. Safe to show.

    ``code`` says to programs why; ``status`` is HTTP's, and ``retry_after`` the seconds after which
    it may be asked again, where that is known.
    """

    def __init__(
        self, message: str, *, code: str, status: int, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after = retry_after
