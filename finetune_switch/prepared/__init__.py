"""Prepared answers: what people wrote in place of a model, and when it is given."""
