"""Where state lives: indicators, sightings, rounds, domains, incidents, feed health, publications."""
