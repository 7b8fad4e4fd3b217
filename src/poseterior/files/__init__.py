"""Files as such: the one error type, checks of what they hold, and writing that leaves nothing half done."""
