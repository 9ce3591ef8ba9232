"""What nobody has to think of: what is done every night, every week, or when something is too old."""
