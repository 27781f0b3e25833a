"""What must hold across packages: units, paths, imports, documents."""
