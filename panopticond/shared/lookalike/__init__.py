"""Look-alikes: which protected name a label imitates and how; pure, and the same for arke and panopticond."""
