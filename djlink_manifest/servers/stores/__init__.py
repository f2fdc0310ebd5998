"""The stores of external objects: the only code that reads and writes them. DataJoint is imported late."""
