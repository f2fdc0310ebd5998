"""What MySQL and MariaDB have in common, and what one of them cannot hold."""
