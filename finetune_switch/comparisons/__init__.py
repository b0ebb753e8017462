"""Ask several backends the same question over the same passages, and judge the answers."""
