"""What both daemons use: contracts, adapters and pure functions. Imports nothing else of panopticond but the model."""
