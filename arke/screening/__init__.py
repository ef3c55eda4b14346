"""Names nobody has reported yet: lists and settings in, a daily review list and opinions out."""
