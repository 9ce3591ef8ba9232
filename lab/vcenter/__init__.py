"""A small vCenter that speaks SOAP as the real one does."""
