"""Speed without meaning: take this room away and only the time of a run changes."""
