"""The only code that talks to a server. What differs between vendors is in `dialects`."""
