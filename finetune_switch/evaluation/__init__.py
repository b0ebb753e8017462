"""Question sets, runs over several backends, graded answers and verdicts."""
