"""What a link's tables lack or have changed, on both servers. Pure."""
