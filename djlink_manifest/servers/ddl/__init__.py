"""DDL: tables, views for owners, drops, lineage, and the script that detaches a link."""
