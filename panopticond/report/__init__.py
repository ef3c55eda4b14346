"""Reports for the people of the ccTLD, made from the published tables and from nothing else."""
