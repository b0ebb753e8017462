"""The report of what visitors asked, and of what could not be answered."""
