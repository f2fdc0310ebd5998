"""What a manifest may say, as frozen pydantic models, which are the values that the package works with."""
