"""The demo and the two DataJoint pipelines that it links."""
