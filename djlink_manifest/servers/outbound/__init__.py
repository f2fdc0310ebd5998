"""The outbound side: registrations, requests, approvals, and the sets that are deleted."""
