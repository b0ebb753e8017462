"""The exceptions of this package. Messages are safe to show; the cause is chained."""

from __future__ import annotations

from django.utils.functional import Promise


class FinetuneSwitchError(Exception):
    """Base class of the package's exceptions."""


class BackendError(FinetuneSwitchError):
    """A backend did not answer. The message is a sentence that is safe to show to visitors.

    ``code`` is the kind of failure (``"refused"``, ``"unauthorized"``, …). ``remedy`` tells the
    site's team what to do, and is only shown in the admin and the shell.
    """

    # Whether the question can be sent again, provided that no text has been received.
    retryable = False
    # In seconds, as requested by the server.
    retry_after: float | None = None

    def __init__(self, message: str | Promise, *, code: str = "failed", remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.remedy = remedy


class ConnectionNotConfigured(BackendError):
    """A backend's connection, alias or address is not declared in the settings."""


class EmbeddingError(BackendError):
    """Texts could not be turned into vectors, or the returned vectors are unusable."""

    @property
    def is_meaningless_text(self) -> bool:
        """Whether the text has no vector, such as a row of punctuation marks."""
        return self.code in ("zero_vector", "empty_text")


class DeadlineExceeded(BackendError):
    """The deadline for the first token, idle time or total time has passed."""


class SwitchConflict(FinetuneSwitchError):
    """Somebody else has switched since the page was opened."""


class IndexBusy(FinetuneSwitchError):
    """Another build of the index is queued or running."""


class InvalidQuestion(FinetuneSwitchError):
    """The question is empty or too long."""


class Refused(FinetuneSwitchError):
    """A visitor's question is rejected.

    ``code`` is the reason, ``status`` the HTTP status, and ``retry_after`` the number of seconds to
    wait, if known.
    """

    def __init__(
        self, message: str, *, code: str, status: int, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after = retry_after
