"""djlink: keeps many DataJoint tables linked across database servers from one manifest."""

__version__ = "0.1.0"
