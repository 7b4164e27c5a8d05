"""What tests are made of: tiny models and folders, tables of cases, stand-ins for what is not here."""
