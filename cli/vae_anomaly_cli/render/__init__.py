"""What people see: rankings, reasons, heat maps, and how far the work has come."""
