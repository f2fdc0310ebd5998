"""What a manifest may use before its review: trust files are read, compared with manifests, and written."""
