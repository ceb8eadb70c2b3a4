"""Pictures: from files to arrays of one format, and back."""
