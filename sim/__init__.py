"""The simulator: the real worker against a modelled database, under virtual time and faults."""
