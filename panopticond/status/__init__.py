"""What the daemon says of itself: over the status socket, to Prometheus, to systemd, and to a person at night."""
