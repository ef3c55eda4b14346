"""What panopticond answers over HTTP: the published tree, an account per TLD."""
