"""A model server that needs no model: OpenAI's API and Ollama's on one port, faults included.

The demo talks to it where no key and no GPU are at hand, and the tests talk to it always. It says
what it is: the names of its models, ``owned_by``, its version and its ``Server`` header.
"""

from .server import Disconnect, RecordedRequest, StandIn

__all__ = ["Disconnect", "RecordedRequest", "StandIn"]
