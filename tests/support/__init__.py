"""What several test modules share: servers, rigs, SQL, pipelines, faults, invariants."""
