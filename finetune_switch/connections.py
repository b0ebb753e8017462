"""Model servers as the settings declare them: the address, the key and the provider of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from . import conf
from .conf import Deadlines
from .exceptions import ConnectionNotConfigured


@dataclass(frozen=True)
class Connection:
    """A model server and how to sign in to it, as the settings declare it."""

    alias: str
    provider: str
    label: str
    data_destination: str
    deadlines: Deadlines
    api_base: str | Callable[[], str] | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)

    @property
    def is_ollama(self) -> bool:
        return self.provider in ("ollama", "ollama_chat")

    def get_api_base(self) -> str | None:
        """The server's address, or ``None`` for the provider's own. A callable is called each time.

        Raises :class:`ConnectionNotConfigured` when the callable fails, or when the address does
        not begin with ``http://`` or ``https://``.
        """
        if not self.api_base:
            return None
        try:
            value = self.api_base() if callable(self.api_base) else self.api_base
        except Exception as error:
            raise ConnectionNotConfigured(
                _("The address of the model server could not be read."),
                code="misconfigured",
                remedy=_('Look at API_BASE of the connection "%(alias)s".') % {"alias": self.alias},
            ) from error
        # A callable that gives nothing must not send questions to the provider's own server.
        address = str(value).strip().rstrip("/")
        if not is_web_address(address):
            raise ConnectionNotConfigured(
                _("The address of the model server is not a web address."),
                code="misconfigured",
                remedy=_(
                    'API_BASE of the connection "%(alias)s" must begin with http:// or https://.'
                )
                % {"alias": self.alias},
            )
        return address


def is_web_address(value: str) -> bool:
    """Whether this is an ``http`` or ``https`` address with a host."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def connections() -> dict[str, Connection]:
    """Every connection of the settings that has a provider, by alias."""
    found = {}
    for alias in conf.connection_aliases():
        try:
            found[alias] = get_connection(alias)
        except ConnectionNotConfigured:
            continue
    return found


def get_connection(alias: str) -> Connection:
    """The connection of that alias.

    Raises :class:`ConnectionNotConfigured` where the settings do not declare it, or without a
    provider.
    """
    declared = conf.declared_connections().get(alias)
    if not isinstance(declared, Mapping) or "PROVIDER" not in declared:
        raise ConnectionNotConfigured(
            _("The connection that this model uses is no longer configured."),
            code="misconfigured",
            remedy=_('Declare FINETUNE_SWITCH["CONNECTIONS"]["%(alias)s"] in the settings again.')
            % {"alias": alias},
        )
    return Connection(
        alias=alias,
        provider=declared["PROVIDER"],
        label=str(declared.get("LABEL") or alias),
        data_destination=str(declared.get("DATA_DESTINATION", "")),
        deadlines=conf.default_deadlines().with_options(declared.get("DEADLINES")),
        api_base=declared.get("API_BASE") or None,
        api_key=declared.get("API_KEY") or None,
    )
