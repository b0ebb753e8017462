from .backend import ChatBackend, SystemPrompt
from .exchange import Exchange, Origin, Outcome
from .switch import Switch

__all__ = ["ChatBackend", "Exchange", "Origin", "Outcome", "Switch", "SystemPrompt"]
