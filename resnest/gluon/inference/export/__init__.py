"""Files for other programs, checked before they count as done."""
