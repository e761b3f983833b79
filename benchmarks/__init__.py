"""Benchmarks: our ingest beside its peers', in one run, in turns. `./run bench --help` tells how."""
