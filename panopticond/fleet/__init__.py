"""Many hosts on one database: who does what, checks on lease, rates all share; one host alone needs none of it."""
