"""A model server without a model: the APIs of OpenAI and Ollama on one port, including faults.

The demo uses it without an API key or a GPU, and the tests always use it. Its model names,
``owned_by``, version and ``Server`` header identify it as a stand-in.
"""

from .server import Disconnect, RecordedRequest, StandIn

__all__ = ["Disconnect", "RecordedRequest", "StandIn"]
