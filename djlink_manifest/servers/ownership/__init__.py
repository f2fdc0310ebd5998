"""Who works on a link: marks and locks."""
