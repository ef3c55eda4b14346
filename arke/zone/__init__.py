"""The registry's zone by transfer: AXFR, then IXFR, with TSIG."""
