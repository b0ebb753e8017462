"""Answers to questions: open an exchange, ask a backend, and stream what it says."""

from .api import Answer, AsyncAnswer, aanswer, answer
from .question import AskedQuestion
from .streaming import stream_answer

__all__ = ["Answer", "AskedQuestion", "AsyncAnswer", "aanswer", "answer", "stream_answer"]
