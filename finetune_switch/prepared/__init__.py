"""Prepared answers: answers written by people, and the questions that get them."""
