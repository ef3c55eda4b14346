"""panopticond: streams threat feeds, checks every indicator four times a day, publishes a signed daily snapshot."""

__version__ = "0.1.0"
