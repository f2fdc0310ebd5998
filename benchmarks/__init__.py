"""Benchmarks: djlink beside its peers, on throwaway servers, in one run (`make bench`)."""
