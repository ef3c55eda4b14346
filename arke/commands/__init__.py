"""The commands that end by themselves."""
