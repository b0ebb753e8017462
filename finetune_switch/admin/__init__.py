"""What the admin screens share: permissions, widgets, filters, spreadsheets and charts."""
